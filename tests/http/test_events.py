"""Events of a job: replay, then live, in three forms; and what ends a stream."""
import json
import subprocess
import threading
import time

import tiny
from harness import main
from longjob import long_job, until_running

SSE = {"Accept": "text/event-stream"}


def lines(body):
    return [json.loads(x) for x in body.decode().split("\n") if x.strip()]


def sse(body):
    out = []
    for block in body.decode().split("\n\n"):
        fields = dict(x.split(": ", 1) for x in block.split("\n") if x and not x.startswith(":"))
        if fields:
            out.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return out


def replay(s):
    s.upload("m", tiny.model())
    job = s.wait(s.submit("m", "int8")["id"])["id"]
    path = f"/v1/jobs/{job}/events"
    r = s.get(path)
    s.equal(r.headers["content-type"], "application/x-ndjson", "NDJSON unless asked otherwise")
    events = lines(r.body)
    ids = [e["id"] for e in events]
    s.equal(ids, sorted(set(ids)), "ids grow")
    s.check(all(e["job"] == job for e in events), "they are the job's own")
    states = [e["data"]["state"] for e in events if e["type"] == "state"]
    s.equal(states, ["queued", "running", "succeeded"], "its states in order")
    s.equal(events[-1]["type"], "state", "the last one says how it ended")
    s.check("artifact" in [e["type"] for e in events], "the artifact is announced", events)
    found = sse(s.get(path, headers=SSE).body)
    s.equal([f[2] for f in found], events, "the same as server-sent events")
    s.check(all(f[0] == f[2]["id"] and f[1] == f[2]["type"] for f in found), "id and event agree")
    half = ids[len(ids) // 2]
    for options, text in [({"headers": {"Last-Event-ID": str(half)}}, "Last-Event-ID"),
                          ({}, "?after=")]:
        r = s.get(path + ("" if options else f"?after={half}"), **options)
        s.equal([e["id"] for e in lines(r.body)], [i for i in ids if i > half], f"{text} goes on")
    for given in (ids[-1], ids[-1] + 1000):
        r = s.get(f"{path}?after={given}")
        s.equal((r.status, r.body), (204, b""), "the last one seen: nothing more")
    s.equal(s.get(path, headers={"Last-Event-ID": str(ids[-1]), **SSE}).status, 204, "so for SSE")
    page = s.get(f"{path}?limit=2", headers={"Accept": "application/json"}).json()
    s.equal([e["id"] for e in page["items"]], ids[:2], "a page")
    page = s.get(f"{path}?limit=500&after={page['next']}", headers={"Accept": "application/json"})
    s.equal([e["id"] for e in page.json()["items"]], ids[2:], "the next page")
    s.equal(page.json()["next"], None, "was the last")
    s.refused(s.get(path, headers={"Last-Event-ID": "abc"}), 400, "malformed-request", "a bad id")
    s.refused(s.get(f"{path}?after=abc"), 400, "unknown-query-parameter", "a bad id in the query")
    s.equal(s.curl("HEAD", path).status, 200, "HEAD tells the type and does not stream")


def live(s):
    job = long_job(s)
    url = s.daemon.url + f"/v1/jobs/{job}/events"
    readers = [subprocess.Popen(["curl", "-sN", "-m", "100", url] + (["-H", "Accept: text/event-stream"]
                                if i % 2 else []), stdout=subprocess.PIPE) for i in range(6)]
    outs = [b""] * len(readers)

    def read(i):
        outs[i] = readers[i].stdout.read()

    threads = [threading.Thread(target=read, args=(i,)) for i in range(len(readers))]
    for t in threads:
        t.start()
    s.equal(s.wait(job, 120)["state"], "succeeded", "the job ends")
    for t in threads:
        t.join(20)
    s.equal([r.wait(5) for r in readers], [0] * 6, "the streams end with it, properly")
    whole = lines(s.get(f"/v1/jobs/{job}/events").body)
    for i, out in enumerate(outs):
        got = [f[2] for f in sse(out)] if i % 2 else lines(out)
        s.equal(got, whole, f"stream {i} saw everything, once, in order")
    progress = [e for e in whole if e["type"] == "progress"]
    s.check(len(progress) >= 2, "there was progress", len(progress))
    times = [e["time"] for e in whole]
    s.equal(times, sorted(times), "times do not go back")


def first_event_comes_at_once(s):
    job = long_job(s)
    until_running(s, job)
    r = subprocess.run(["curl", "-sN", "-m", "1", "-D", "-", s.daemon.url + f"/v1/jobs/{job}/events"],
                       capture_output=True)
    s.check(b"200 OK" in r.stdout and b'"queued"' in r.stdout, "what there is comes at once", r)
    s.post(f"/v1/jobs/{job}/cancel")
    s.wait(job)
    events = lines(s.get(f"/v1/jobs/{job}/events").body)
    s.equal(events[-1]["data"]["state"], "cancelled", "cancelled jobs end their streams too")


def retried(s):
    job = s.get("/v1/jobs?state=cancelled").json()["items"][0]["id"]
    before = lines(s.get(f"/v1/jobs/{job}/events").body)
    s.equal(s.post(f"/v1/jobs/{job}/retry").status, 202, "retried")
    after = lines(s.get(f"/v1/jobs/{job}/events", timeout=120).body)
    s.equal(after[: len(before)], before, "the old events are still there")
    s.equal([e["data"]["state"] for e in after[len(before):] if e["type"] == "state"],
            ["queued", "running", "succeeded"], "and a stream passes the old end")


def stream_limit(s):
    job = long_job(s)
    until_running(s, job)
    url = s.daemon.url + f"/v1/jobs/{job}/events"
    readers = [subprocess.Popen(["curl", "-sN", "-m", "60", url], stdout=subprocess.PIPE)
               for _ in range(12)]
    time.sleep(0.5)
    r = s.get(f"/v1/jobs/{job}/events", judged=False)
    if s.get(f"/v1/jobs/{job}").json()["state"] == "running":
        s.refused(r, 503, "overloaded", "more streams than allowed")
        s.check("retry-after" in r.headers, "try later")
    s.equal(s.get("/v1/version").status, 200, "other requests are served")
    s.post(f"/v1/jobs/{job}/cancel")
    s.wait(job)
    for reader in readers:
        reader.wait(20)
    r = s.get(f"/v1/jobs/{job}/events")
    s.equal(r.status, 200, "ended streams make room")


main("events", ["--max-streams", "12"], replay, live, first_event_comes_at_once, retried,
     stream_limit)
