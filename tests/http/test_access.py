"""Who may do what, and from where."""
import hashlib
import os
import subprocess
import sys
import tempfile

import tiny
from harness import Suite

TOKENS = {"ann": ("ann-secret-0123456789", "blue"), "bob": ("bob-secret-0123456789", "blue"),
          "eve": ("eve-secret-0123456789", "red")}


def bearer(name):
    return {"Authorization": f"Bearer {TOKENS[name][0]}"}


def tokens(s):
    for path in ("/healthz", "/readyz", "/metrics", "/", "/openapi.json", "/v1/version",
                 "/problems/not-found"):
        s.equal(s.get(path).status, 200, f"{path} needs no token")
    for path in ("/v1/jobs", "/v1/models", "/v1/datasets", "/v1/recipes"):
        r = s.get(path)
        s.refused(r, 401, "unauthenticated", f"{path} needs one")
        s.equal(r.headers.get("www-authenticate"), "Bearer", "and it is said which")
        s.equal(s.get(path, headers=bearer("ann")).status, 200, f"{path} opens to ann")
    for bad in ("Bearer nonsense", "Bearer", "Bearer ", "Basic YW5uOmFubg==",
                "Bearer " + TOKENS["ann"][0] + "x",
                "Bearer " + hashlib.sha256(TOKENS["ann"][0].encode()).hexdigest()):
        s.refused(s.get("/v1/jobs", headers={"Authorization": bad}), 401, "unauthenticated",
                  f"{bad[:20]} opens nothing")


def teams(s):
    data = tiny.model()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    s.equal(s.put(f"/v1/blobs/{digest}", data, headers=bearer("ann")).status, 201, "ann uploads")
    s.equal(s.get(f"/v1/blobs/{digest}", headers=bearer("bob")).status, 200, "bob sees it")
    s.refused(s.get(f"/v1/blobs/{digest}", headers=bearer("eve")), 404, "not-found", "eve does not")
    s.refused(
        s.post("/v1/models", {"name": "stolen", "files": [{"path": "m", "digest": digest}]},
               headers=bearer("eve")), 422, "invalid-field", "and cannot name it")
    s.equal(s.put(f"/v1/blobs/{digest}", data, headers=bearer("eve")).status, 201,
            "until she has uploaded it whole herself")
    s.equal(s.get(f"/v1/blobs/{digest}", headers=bearer("eve")).status, 200, "then she sees it")
    s.equal(s.put("/v1/models/m", data, headers=bearer("ann")).status, 201, "ann names a model")
    s.equal(s.put("/v1/models/m", tiny.model(seed=5), headers=bearer("eve")).status, 201,
            "eve may use the name for another")
    s.equal(len(s.get("/v1/models", headers=bearer("bob")).json()["items"]), 1,
            "lists show the team's own")
    s.equal(s.put("/v1/datasets/d", tiny.digits(), headers=bearer("ann")).status, 201,
            "ann names a dataset")
    s.equal(s.get("/v1/datasets/d", headers=bearer("bob")).status, 200, "bob sees it")
    s.refused(s.get("/v1/datasets/d", headers=bearer("eve")), 404, "not-found", "eve does not")
    s.refused(s.post("/v1/jobs", {"model": "m", "recipe": "f16", "dataset": "d"},
                     headers=bearer("eve")), 422, "invalid-field", "nor can her jobs use it")
    named = {"stages": [], "evaluation": {"dataset": "d"}}
    p = s.refused(s.post("/v1/plan", {"model": "m", "recipe": named}, headers=bearer("eve")), 422,
                  "invalid-recipe", "not even by their recipes")
    s.equal([(e["pointer"], e.get("nearest")) for e in p["errors"]],
            [("/recipe/evaluation/dataset", None)], "which learn nothing of other teams' names")
    job = s.post("/v1/jobs", {"model": "m", "recipe": "f16"}, headers=bearer("ann")).json()["id"]
    s.equal(s.get(f"/v1/jobs/{job}?wait=30", headers=bearer("bob")).status, 200, "bob sees the job")
    for method, path in [("GET", ""), ("GET", "/events"), ("GET", "/log"), ("GET", "/report"),
                         ("GET", "/artifact"), ("GET", "/artifacts"), ("POST", "/cancel"),
                         ("POST", "/retry"), ("DELETE", "")]:
        s.refused(s.curl(method, f"/v1/jobs/{job}{path}", headers=bearer("eve")), 404, "not-found",
                  f"{method} {path or '/'} of it is not there for eve")
    s.equal(s.get("/v1/jobs", headers=bearer("eve")).json()["items"], [], "nor in her list")


def hosts(s):
    for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io",
                 "[::2]", "", "localhost:x", "a" * 300):
        for path in ("/healthz", "/v1/jobs"):
            r = s.get(path, headers={"Host": host} if host else {"Host": None}, judged=bool(host))
            s.check(r.status in ((421,) if host else (400, 421)), f"Host {host[:30]}: refused", r)
    for host in ("localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:9", "[::1]:8080",
                 "models.example", "models.example:443"):
        s.equal(s.get("/healthz", headers={"Host": host}).status, 200, f"Host {host}: served")


def origins(s):
    own = s.daemon.url
    for headers, why in [
        ({"Origin": "http://evil.example"}, "a foreign origin"),
        ({"Origin": "null"}, "an opaque origin"),
        ({"Origin": "http://localhost:1"}, "another port of this machine"),
        ({"Origin": own + ".evil.example"}, "a longer origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "a cross-site fetch"),
        ({"Origin": own, "Sec-Fetch-Site": "cross-site"}, "a cross-site fetch with our origin"),
    ]:
        for method, path in [("POST", "/v1/jobs/x/cancel"), ("PUT", "/v1/models/x"),
                             ("DELETE", "/v1/models/x"), ("POST", "/v1/jobs"),
                             ("PATCH", "/v1/jobs/x")]:
            r = s.curl(method, path, headers={**headers, **bearer("ann")})
            s.refused(r, 403, "cross-origin", f"{why}: {method} {path} is refused")
        s.equal(s.get("/v1/jobs", headers={**headers, **bearer("ann")}).status, 200,
                f"{why}: reading changes nothing")
    r = s.curl("POST", "/v1/jobs/x/cancel",
               headers={"Origin": own, "Sec-Fetch-Site": "same-origin", **bearer("ann")})
    s.refused(r, 404, "not-found", "our own page passes")


def starts(s):
    program = os.environ["COMPRESSD"]

    def start(*flags):
        return subprocess.run([program, "serve", "--data", str(s.dir / "other"), *flags],
                              capture_output=True, timeout=20)

    r = start("--listen", "0.0.0.0:0")
    s.check(r.returncode != 0 and b"token" in r.stderr,
            "beyond loopback without tokens: it does not start", r)
    r = subprocess.run([program, "serve", "--data", str(s.daemon.data), "--listen", "127.0.0.1:0"],
                       capture_output=True, timeout=20)
    s.check(r.returncode != 0 and str(s.daemon.process.pid).encode() in r.stderr,
            "a second daemon on the data directory is told the first one's number", r)
    bad = s.dir / "bad-tokens"
    bad.write_text("# fine\nann nothex blue\n")
    r = start("--listen", "127.0.0.1:0", "--tokens", str(bad))
    s.check(r.returncode != 0 and b"line 2" in r.stderr, "a bad token file is told by its line", r)


def run():
    with tempfile.NamedTemporaryFile("w", suffix=".tokens") as file:
        file.write("# name digest team\n")
        for name, (token, team) in TOKENS.items():
            file.write(f"{name} {hashlib.sha256(token.encode()).hexdigest()} {team}\n")
        file.flush()
        s = Suite("access", "--tokens", file.name, "--allow-host", "models.example")
        for part in (tokens, teams, hosts, origins, starts):
            with s.section(part.__name__):
                part(s)
        return s.done()


sys.exit(run())
