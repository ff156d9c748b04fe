"""The tool against the daemon, and against servers that misbehave."""
import contextlib
import hashlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import tiny
from harness import main

COMPRESSCTL = os.environ["COMPRESSCTL"]
DONE, USAGE, REFUSED, CANCELLED, NETWORK, MISMATCH = 0, 2, 3, 5, 6, 7


def start(url, *words, token=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COMPRESSD_")}
    environment |= {"COMPRESSD_URL": url, "XDG_CONFIG_HOME": "/nonexistent"}
    if token:
        environment["COMPRESSD_TOKEN"] = token
    return subprocess.Popen([COMPRESSCTL, *map(str, words)], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, timeout=60):
    out, errors = process.communicate(timeout=timeout)
    return process.returncode, out, errors


def tool(s, *words):
    return end(start(s.daemon.url, *words))


@contextlib.contextmanager
def server(answer):
    """answer(handler) for every request; what was asked for is in .seen."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            self.server.seen.append((self.path, dict(self.headers)))
            answer(self)

        do_HEAD = do_POST = do_PUT = do_GET

        def reply(self, status, body=b"", kind="application/json", **headers):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def begin_lines(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True

    it = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.daemon_threads = True
    it.seen = []
    it.url = f"http://127.0.0.1:{it.server_port}"
    threading.Thread(target=it.serve_forever, daemon=True).start()
    try:
        yield it
    finally:
        it.shutdown()
        it.server_close()


def problem(slug, status):
    return {"type": f"/problems/{slug}", "title": slug, "status": status, "detail": slug}


def the_whole_way(s):
    model = s.dir / "small.safetensors"
    model.write_bytes(tiny.model())
    out = s.dir / "small-int8.safetensors"
    code, said, errors = tool(s, "run", model, "--recipe", "int8", "-o", out)
    s.equal(code, DONE, "run pushes, submits, watches, pulls and verifies")
    s.check("every digest verified" in said, "and says so", said + errors)
    job = json.loads(tool(s, "jobs", "--json")[1])["items"][0]
    s.equal(hashlib.sha256(out.read_bytes()).hexdigest(), job["artifact"]["sha256"],
            "what was pulled is the artifact")
    code, _, errors = tool(s, "pull", job["id"], "-o", out)
    s.equal(code, REFUSED, "a second pull does not overwrite")
    s.check("exists" in errors, "and says why", errors)
    s.equal(tool(s, "pull", job["id"], "-o", out, "--force")[0], DONE, "unless it is told to")
    s.equal(tool(s, "watch", job["id"])[0], DONE, "a job that is over can be watched")
    s.equal(tool(s, "push", model, "-n", "small.safetensors")[0], DONE, "pushing again is fine")
    s.equal(tool(s, "doctor")[0], DONE, "the doctor is content")


def what_can_be_refused_is_refused_first(s):
    model, taken, out = (s.dir / n for n in ("early.safetensors", "taken.safetensors", "early-out"))
    model.write_bytes(tiny.model(seed=5))
    taken.write_bytes(b"other")
    empty = s.dir / "no.safetensors"
    empty.write_bytes(b"\0" * 64)
    s.upload("taken", tiny.model(seed=6, rows=32))
    for words, code, part in (
        (["-o", taken], REFUSED, "exists"),
        (["-o", s.dir / "none" / "out"], REFUSED, "No such file"),
        (["-o", "-"], USAGE, "standard output"),
        (["-o", out, "-r", "int9"], REFUSED, "int9"),
        (["-o", out, "-r", "/nope.json"], REFUSED, "No such file"),
        (["-o", out, "-r", '{"stages": [{"pass": "quantise"}]}'], REFUSED, "nearest: quantize"),
        (["-o", out, "-n", "a b"], USAGE, "'a b' is no name"),
        (["-o", out, "-n", "taken"], REFUSED, "--replace"),
        (["-o", out, "--url", "http://127.0.0.1:1"], NETWORK, "connect"),
    ):
        recipe = [] if "-r" in words else ["-r", "int8"]
        got, _, errors = tool(s, "run", model, *recipe, *words)
        s.equal(got, code, f"run {' '.join(map(str, words[-2:]))} is refused")
        s.check(part in errors and "hash" not in errors, "before anything is read", errors)
    got, _, errors = tool(s, "push", empty)
    s.equal(got, REFUSED, "what is no model is not sent")
    s.check("hash" not in errors, "nor read", errors)
    s.equal(s.get("/v1/models/early.safetensors").status, 404, "none of it was pushed")
    spaced = s.dir / "mein modéll.safetensors"
    spaced.write_bytes(tiny.model(seed=5))
    got, said, errors = tool(s, "push", spaced)
    s.check(got == DONE and "as mein-mod-ll.safetensors" in errors, "a changed name is said",
            said + errors)


def slips_are_answered_with_what_was_meant(s):
    s.upload("my-llama", tiny.model(seed=9))
    job = json.loads(tool(s, "submit", "my-llama", "int8", "-l", "team=blue", "--json")[1])["id"]
    s.wait(job)
    for words, code, part in (
        (["jobs", "--state", "succeded"], USAGE, "nearest: succeeded"),
        (["models", "my-lama"], REFUSED, "nearest: my-llama"),
        (["plan", "my-lama", "int8"], REFUSED, "nearest: my-llama"),
        (["run", s.dir / "early.safetensors", "-r", "int9", "-o", s.dir / "x"], REFUSED,
         "nearest: int8"),
        (["rm"], USAGE, "either MODEL or --job"),
        (["rm", "a", "--job", "b"], USAGE, "either MODEL or --job"),
        (["help", "pul"], USAGE, "nearest: pull"),
    ):
        got, said, errors = tool(s, *words)
        s.equal(got, code, f"{' '.join(map(str, words))} is refused")
        s.check(part in errors, f"and answered {part!r}", said + errors)
    for label in ("team=blue", "team:blue"):
        found = json.loads(tool(s, "jobs", "--label", label, "--json")[1])["items"]
        s.equal([j["id"] for j in found], [job], f"--label {label} finds the job")
    said = tool(s, "report", job)[1]
    s.check("ratio" in said and "worst tensors" in said and "bits/weight" in said
            and not said.startswith("{"), "a report for people", said)
    whole = json.loads(tool(s, "report", job, "--json")[1])
    s.equal(whole["size"]["bytes_out"] > 0, True, "and one for programs")
    shown = tool(s, "models", "my-llama")[1]
    s.check(shown.count("\n") > 10 and json.loads(shown)["name"] == "my-llama",
            "a model is shown indented", shown)
    s.equal(tool(s, "models", "my-llama", "--json")[1].count("\n"), 1, "or on one line")
    s.check(tool(s, "help", "pull")[1].startswith("usage: compressctl pull"), "help VERB helps")
    s.check(tool(s, "version")[1].startswith("compressctl "), "version is a verb as well")
    digits = s.dir / "digits.npz"
    digits.write_bytes(tiny.digits())
    got, said, errors = tool(s, "push", "--dataset", digits, "--name", "digits")
    s.check(got == DONE and said.startswith("dataset digits: 1 file"), "a dataset is pushed",
            said + errors)
    got, said, errors = tool(s, "push", "--dataset", s.dir / "early.safetensors", "-n", "digits")
    s.check(got == REFUSED and "stands for other files" in errors, "its name is taken",
            said + errors)
    s.check("digits" in tool(s, "datasets")[1] and "arrays" in tool(s, "datasets")[1], "listed")
    s.equal(json.loads(tool(s, "datasets", "digits")[1])["samples"], 6, "and shown")
    said = tool(s, "inspect", "--dataset", digits)[1]
    s.check("u8[6,2,2]" in said and "i64[6]" in said, "inspected without a server", said)
    s.equal(json.loads(tool(s, "inspect", "--dataset", digits, "--json")[1])["kind"], "arrays",
            "for programs too")
    got, _, errors = tool(s, "submit", "my-llama", "int8", "--dataset", "digit")
    s.check(got == REFUSED and "there is no dataset digit" in errors, "a slip in its name", errors)
    s.check("meant digits" in errors or "digits" in errors.replace("dataset digit\n", ""),
            "is answered with what was meant", errors)
    got, _, errors = tool(s, "plan", "my-llama", "int8", "--dataset", "digit")
    s.check(got == REFUSED and "there is no dataset digit" in errors, "by a plan too", errors)
    with_data = json.loads(tool(s, "submit", "my-llama", "int8", "--dataset", "digits",
                                "--json")[1])
    s.equal(with_data["dataset"], "digits", "a job is given it")
    s.wait(with_data["id"])
    s.equal(tool(s, "rm", "--dataset", "digits")[1], "dataset digits is gone\n", "and it goes")
    got, said, _ = tool(s, "rm", "--job", job, "--json")
    s.equal((got, json.loads(said)), (DONE, {"deleted": "job", "name": job}), "a job is removed")
    s.equal(s.get(f"/v1/jobs/{job}").status, 404, "and is gone")
    s.equal(tool(s, "rm", "my-llama")[1], "model my-llama is gone\n", "a model too")
    out = s.dir / "typed.safetensors"
    lines = [json.loads(line) for line in tool(
        s, "run", s.dir / "small.safetensors", "-r", "int8", "-o", out, "--json")[1].splitlines()]
    s.check(all("type" in line and "data" in line for line in lines), "run --json is typed lines",
            lines)
    kinds = [line["type"] for line in lines]
    s.check({"model", "job", "state", "pulled"} <= set(kinds), "of every step", kinds)


def somebody_else_answers(s):
    def page(handler):
        handler.reply(handler.server.status, b"<html>hello</html>", "text/html")

    with server(page) as it:
        for it.status in (200, 404):
            for words in (["models"], ["submit", "m", "int8"]):
                code, _, errors = end(start(it.url, *words))
                s.equal(code, NETWORK, f"a page with {it.status} is no answer to {words[0]}")
                s.check("no compressd" in errors, "and that is said", errors)
            code, said, _ = end(start(it.url, "doctor"))
            s.check(code == NETWORK and "no compressd" in said, "the doctor says so too", said)


def event(number, kind, **data):
    return json.dumps({"id": number, "type": kind, "job": "0" * 26,
                       "time": f"2026-01-01T00:00:{number:02}.000Z", "data": data}).encode() + b"\n"


def a_restart_does_not_end_a_watch(s):
    away = {"events": [2, 3], "job": [1]}  # which requests find nobody at home

    def restarting(handler):
        kind = "events" if "/events" in handler.path else "job"
        times = sum(("/events" in path) == (kind == "events") for path, _ in handler.server.seen)
        if times in away[kind]:
            return handler.reply(503, problem("shutting-down", 503), "application/problem+json")
        if kind == "job":
            return handler.reply(200, {"id": "0" * 26, "state": "succeeded", "summary": {
                "bytes_in": 2, "bytes_out": 1, "ratio": 2}, "artifact": {"sha256": "0" * 64}})
        handler.begin_lines()
        if times == 1:
            handler.wfile.write(event(1, "state", state="running", revision=2, attempt=1))
        else:
            handler.wfile.write(event(2, "state", state="running", revision=4, attempt=2)
                                + event(3, "state", state="succeeded", revision=5, attempt=2))

    with server(restarting) as it:
        code, said, errors = end(start(it.url, "watch", "0" * 26), 60)
        s.equal(code, DONE, f"a watch goes on behind a restart {errors}")
        s.equal(errors.count("the server is away, trying again"), 2,
                "and says once that the server is away, for the events and for the job")
        s.check("running (attempt 2)" in errors, "a second attempt is called that", errors)
        s.check("succeeded: 2 B -> 1 B" in said, "until the job's end", said)
        asked = [path for path, _ in it.seen if "/events" in path]
        s.check(asked[-1].endswith("after=1"), "no event is asked for twice", asked)


def ctrl_c_in_run_says_what_is_true(s):
    model = s.dir / "stopped.safetensors"
    model.write_bytes(tiny.model(seed=8))
    for status, part in ((202, "is cancelled"), (500, "goes on")):
        reached = threading.Event()

        def slow(handler, status=status, reached=reached):
            if handler.command == "HEAD":
                return handler.reply(200)
            if handler.path.startswith("/v1/models/"):
                return handler.reply(404, problem("not-found", 404), "application/problem+json")
            if handler.path.endswith("/cancel"):
                return handler.reply(status, {"state": "cancelling"} if status < 300 else
                                     problem("internal-error", status))
            if "/events" in handler.path:
                handler.begin_lines()
                reached.set()
                return time.sleep(20)
            handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
            handler.reply(201 if handler.command == "POST" else 200, {"id": "0" * 26})

        with server(slow) as it:
            run = start(it.url, "run", model, "-r", "int8", "-o", s.dir / "never")
            s.check(reached.wait(20), "the job is watched")
            run.send_signal(signal.SIGINT)
            code, _, errors = end(run)
            s.equal(code, CANCELLED, "run can be stopped")
            s.check(any(path.endswith("/cancel") for path, _ in it.seen), "it cancels the job")
            s.check(part in errors, f"and says what is true: it {part}", errors)
        s.check(not (s.dir / "never").exists(), "nothing is left behind")


def a_silent_stream_can_be_left(s):
    reached = threading.Event()

    def silent(handler):
        handler.begin_lines()
        reached.set()
        time.sleep(20)

    with server(silent) as it:
        watch = start(it.url, "watch", "0" * 26)
        s.check(reached.wait(10), "the stream is open")
        began = time.time()
        watch.send_signal(signal.SIGINT)
        code, _, errors = end(watch)
        s.check(time.time() - began < 5, "Ctrl-C is heard although nothing arrives")
        s.equal(code, CANCELLED, "and tells itself by the exit code")
        s.check("the job goes on" in errors, "in words as well", errors)


def a_stream_without_an_end(s):
    def short(handler):
        handler.begin_lines()

    with server(short) as it:
        code, out, errors = end(start(it.url, "watch", "0" * 26), timeout=90)
        s.equal(code, NETWORK, "a stream that never tells the end is no success")
        s.check("before the job does" in errors, "and that is said", out + errors)


def pulled(s, name, answer):
    out = s.dir / name
    with server(answer) as it:
        result = end(start(it.url, "pull", "0" * 26, "-o", out))
        return (*result, out, it.seen)


def listing(data, path="model.safetensors", lone=True):
    return {"lone": lone, "items": [
        {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}]}


def a_broken_download_is_resumed(s):
    data = tiny.model(seed=3)
    half = len(data) // 2

    def broken(handler):
        if handler.path.endswith("/artifacts"):
            return handler.reply(200, listing(data))
        asked = handler.headers.get("Range")
        if asked:
            at = int(asked.removeprefix("bytes=").rstrip("-"))
            return handler.reply(206, data[at:], "application/octet-stream",
                                 **{"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})
        downloads = sum("/artifacts/" in path for path, _ in handler.server.seen)
        if downloads == 1:
            return handler.reply(503, problem("shutting-down", 503),
                                 "application/problem+json")
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:half])
        handler.wfile.flush()
        handler.close_connection = True

    code, _, errors, out, seen = pulled(s, "resumed.safetensors", broken)
    s.equal(code, DONE, f"a server that restarts and a connection that breaks are survived {errors}")
    s.check(out.exists() and out.read_bytes() == data, "the file is whole")
    ranges = [h.get("Range") for path, h in seen if "/artifacts/" in path]
    s.equal(ranges, [None, None, f"bytes={half}-"], "only the rest was fetched again")


def lies_are_found_out(s):
    data = tiny.model(seed=4)
    before = sorted(p.name for p in s.dir.iterdir())

    def wrong_bytes(handler):
        if handler.path.endswith("/artifacts"):
            return handler.reply(200, listing(data))
        handler.reply(200, data[:-1] + b"\x7f", "application/octet-stream")

    code, _, _, out, _ = pulled(s, "wrong.safetensors", wrong_bytes)
    s.equal(code, MISMATCH, "other bytes than the digest says are no model")
    for lone in (True, False):
        for path in ("../escaped", "/escaped", "a/../../escaped", "..", "", "a//b"):
            def outside(handler, path=path, lone=lone):
                if handler.path.endswith("/artifacts"):
                    return handler.reply(200, listing(data, path, lone))
                handler.reply(200, data, "application/octet-stream")

            code, _, _, _, _ = pulled(s, "out", outside)
            s.equal(code, NETWORK, f"the path {path!r} (lone: {lone}) is refused")
    s.equal(sorted(p.name for p in s.dir.iterdir()), before, "nothing was written anywhere")
    s.check(not Path(s.dir.parent, "escaped").exists(), "nor beside")


def the_token_goes_nowhere_else(s):
    def other(handler):
        handler.reply(200, {})

    with server(other) as there:
        def redirect(handler):
            handler.reply(302, Location=f"{there.url}{handler.path}")

        with server(redirect) as it:
            code, _, _ = end(start(it.url, "models", token="secret"))
            s.check(code != DONE, "a redirection is no answer", code)
            s.equal(it.seen[0][1].get("Authorization"), "Bearer secret", "the server gets the token")
        s.equal(there.seen, [], "whoever it points to gets nothing")


main("client", [], the_whole_way, what_can_be_refused_is_refused_first,
     slips_are_answered_with_what_was_meant, somebody_else_answers,
     a_restart_does_not_end_a_watch, ctrl_c_in_run_says_what_is_true, a_silent_stream_can_be_left, a_broken_download_is_resumed,
     lies_are_found_out, the_token_goes_nowhere_else, a_stream_without_an_end)
