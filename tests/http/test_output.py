"""What a job leaves behind: log, report, artifact, and a tar that is on no disk."""
import hashlib
import io
import re
import tarfile

import tiny
from harness import main


def lone(s):
    s.upload("lone", tiny.model())
    job = s.wait(s.submit("lone", "int8")["id"])
    base = f"/v1/jobs/{job['id']}"
    r = s.get(f"{base}/artifact")
    s.equal(len(r.body), job["artifact"]["bytes"], "as long as the job says")
    s.equal(hashlib.sha256(r.body).hexdigest(), job["artifact"]["sha256"], "with its digest")
    s.equal(r.headers["etag"], f'"sha256:{job["artifact"]["sha256"]}"', "and tag")
    s.check('attachment; filename="model.safetensors"' == r.headers["content-disposition"],
            "a file in, a file out", r.headers)
    files = s.get(f"{base}/artifacts").json()["items"]
    s.equal([f["path"] for f in files], ["model.safetensors"], "one file")
    s.equal(s.get(files[0]["url"]).body, r.body, "the same by its own address")
    s.refused(s.get(f"{base}/artifacts/nothing"), 404, "not-found", "no such file")


def folder(s):
    tar = {"Content-Type": "application/x-tar"}
    s.equal(s.put("/v1/models/folder", tiny.tar({**tiny.folder(), "sub/käse.txt": b"x" * 5000}),
                  headers=tar).status, 201, "a folder")
    job = s.wait(s.submit("folder", "int8")["id"])
    base = f"/v1/jobs/{job['id']}"
    files = {f["path"]: f for f in s.get(f"{base}/artifacts").json()["items"]}
    s.equal(len(files), job["artifact"]["files"], "as many files as the job says")
    s.check({"config.json", "model.safetensors", "tokenizer.json", "sub/käse.txt"} <= set(files),
            "a folder comes back whole", files)
    r = s.get(f"{base}/artifact")
    whole = r.body
    s.equal(r.headers["content-type"], "application/x-tar", "several files come as a tar")
    s.equal((len(whole), hashlib.sha256(whole).hexdigest()),
            (job["artifact"]["bytes"], job["artifact"]["sha256"]), "of the length and digest told")
    with tarfile.open(fileobj=io.BytesIO(whole)) as t:
        members = {m.name: m for m in t.getmembers()}
        s.equal(sorted(members), sorted(files), "its members are the files")
        s.equal(list(members), sorted(members), "in order")
        for name, member in members.items():
            s.equal((member.mtime, member.uid, member.gid, member.mode, member.isreg()),
                    (0, 0, 0, 0o644, True), f"{name}: nothing of this machine")
            data = t.extractfile(member).read()
            s.equal((len(data), hashlib.sha256(data).hexdigest()),
                    (files[name]["bytes"], files[name]["sha256"]), f"{name}: its bytes")
            one = s.get(files[name]["url"])
            s.equal(one.body, data, f"{name}: the same by its own address")
    r = s.curl("HEAD", f"{base}/artifact")
    s.equal(int(r.headers["content-length"]), len(whole), "HEAD tells the length")
    for first, last in [(0, 0), (1, 511), (500, 600), (511, 1536), (1000, 70000),
                        (len(whole) - 1024, len(whole) - 1), (0, len(whole) - 1)]:
        r = s.get(f"{base}/artifact", headers={"Range": f"bytes={first}-{last}"})
        s.equal((r.status, r.body), (206, whole[first:last + 1]), f"bytes {first} to {last} of it")
    r = s.get(f"{base}/artifact", headers={"If-None-Match": r.headers["etag"]})
    s.equal(r.status, 304, "not modified")
    s.refused(s.get(f"{base}/artifact", headers={"Range": f"bytes={len(whole)}-"}), 416,
              "range-not-satisfiable", "a range behind the end")
    again = s.wait(s.submit("folder", "int8")["id"])
    s.equal(again["artifact"], job["artifact"], "the same job again gives the same bytes")


def report_and_log(s):
    job = s.get("/v1/jobs?model=lone").json()["items"][0]["id"]
    r = s.get(f"/v1/jobs/{job}/report").json()
    s.equal(len(r["tensors"]), 7, "a row for every tensor of the source")
    s.check(r["size"]["ratio"] > 1, "a ratio", r["size"])
    log = s.get(f"/v1/jobs/{job}/log")
    s.check(all(re.match(r"\d{4}-\d\d-\d\dT\S+Z \w+ +\S", x)
                for x in log.body.decode().splitlines()), "lines with time and level", log)
    s.check(len(log.body) > 20, "there are some", log)
    part = s.get(f"/v1/jobs/{job}/log", headers={"Range": "bytes=5-9"})
    s.equal((part.status, part.body), (206, log.body[5:10]), "a range of the log")


main("output", [], lone, folder, report_and_log)
