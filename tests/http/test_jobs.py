"""Jobs: submitted, listed, waited for, cancelled, retried, changed, deleted; and a restart."""
import threading
import time

import tiny
from harness import main
from longjob import long_job, until_running


def life(s):
    s.upload("m", tiny.model())
    r = s.post("/v1/jobs", {"model": "m", "recipe": "int8", "name": "first", "priority": 7,
                            "labels": {"team/x": "käse", "a": ""}})
    job = r.json()
    s.equal((r.status, r.headers["location"]), (201, f"/v1/jobs/{job['id']}"), "accepted")
    s.equal((job["state"], job["revision"], job["priority"], job["name"], job["labels"]),
            ("queued", 1, 7, "first", {"team/x": "käse", "a": ""}), "as it was asked for")
    done = s.wait(job["id"])
    s.equal(done["state"], "succeeded", "it succeeds")
    s.check(done["revision"] > 1 and done["attempt"] == 1, "it moved on", done)
    s.check(done["summary"]["ratio"] > 1 and done["artifact"]["files"] == 1, "smaller now", done)
    for name, link in done["links"].items():
        s.equal(s.get(link).status, 200, f"the link {name} leads somewhere")
    r = s.get(f"/v1/jobs/{job['id']}")
    tag = f'"r{done["revision"]}"'
    s.equal(r.headers.get("etag"), tag, "a finished job has a tag")
    r = s.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": tag})
    s.equal((r.status, r.body), (304, b""), "and is not modified")
    for bad in ("x", "0" * 26, job["id"].upper(), job["id"] + "x"):
        for method, rest in [("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", ""),
                             ("GET", "/events"), ("GET", "/report")]:
            s.refused(s.curl(method, f"/v1/jobs/{bad}{rest}"), 404, "not-found",
                      f"{method} {rest}: no job {bad[:8]}")
    for more, pointer in [({"priority": 10}, "/priority"), ({"priority": -1}, "/priority"),
                          ({"priority": "high"}, "/priority"), ({"labels": {"a": 1}}, "/labels/a"),
                          ({"labels": []}, "/labels"), ({"name": "-"}, "/name"),
                          ({"labels": {"a b": "c"}}, "/labels/a b"), ({"dataset": "x"}, "/dataset"),
                          ({"labels": {f"k{i}": "v" for i in range(33)}}, "/labels")]:
        p = s.refused(s.post("/v1/jobs", {"model": "m", "recipe": "int8", **more}), 422,
                      "invalid-field", f"refused: {str(more)[:40]}")
        s.check(pointer in [e["pointer"] for e in p["errors"]], f"pointing at {pointer}", p)


def lists(s):
    ids = [s.submit("m", "f16" if i % 2 else "bf16", labels={"n": str(i), "all": "yes"})["id"]
           for i in range(7)]
    for i in ids:
        s.wait(i)
    items = s.get("/v1/jobs?label=all:yes").json()["items"]
    s.equal([j["id"] for j in items], ids[::-1], "newest first")
    s.equal([j["id"] for j in s.get("/v1/jobs?label=n:3").json()["items"]], [ids[3]], "by label")
    s.equal(len(s.get("/v1/jobs?recipe=f16&label=all:yes").json()["items"]), 3, "by recipe")
    s.equal(len(s.get("/v1/jobs?recipe=f16&label=all:no").json()["items"]), 0, "by both")
    s.equal(len(s.get("/v1/jobs?model=nobody").json()["items"]), 0, "by model")
    s.check(len(s.get("/v1/jobs?state=succeeded&model=m").json()["items"]) >= 8, "by state")
    middle = s.get(f"/v1/jobs/{ids[3]}").json()["created_at"]
    later = [j["id"] for j in s.get(f"/v1/jobs?created_after={middle}").json()["items"]]
    s.check(set(ids[4:]) <= set(later) and not set(ids[:3]) & set(later), "by time", later)
    for form, want in [("2099-01-01T00:00:00Z", 0), ("1999-01-01T00:00:00.5-11:30", 7),
                       ("1999-01-01t00:00:00%2B01:00", 7)]:
        got = s.get(f"/v1/jobs?label=all:yes&created_after={form}").json()["items"]
        s.equal(len(got), want, f"created_after={form}")
    for bad in ("2024", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00Zx",
                "2024-01-01T24:00:00Z", "2024-01-01T00:00Z", "1-1-1T1:1:1Z"):
        s.refused(s.get(f"/v1/jobs?created_after={bad}"), 400, "unknown-query-parameter",
                  f"{bad} is no time")
    pages, path = [], "/v1/jobs?label=all:yes&limit=2"
    while path:
        r = s.get(path)
        pages += [j["id"] for j in r.json()["items"]]
        s.check(len(r.json()["items"]) <= 2, "a page is no longer than asked")
        path = r.headers["link"].split(">")[0][1:] if r.json()["next"] else None
    s.equal(pages, ids[::-1], "pages put together are the whole list")
    cursor = s.get("/v1/jobs?label=all:yes&limit=2").json()["next"]
    s.refused(s.get(f"/v1/jobs?limit=2&cursor={cursor}"), 400, "unknown-query-parameter",
              "a cursor is bound to its filters")


def waits(s):
    job = s.submit("m", "int8")
    done = s.wait(job["id"])
    began = time.time()
    r = s.get(f"/v1/jobs/{job['id']}?wait=30")
    s.check(time.time() - began < 5 and r.json()["state"] == "succeeded", "nothing to wait for")
    r = s.get(f"/v1/jobs/{job['id']}?wait=30&revision=1")
    s.check(time.time() - began < 5 and r.json()["revision"] != 1, "another revision is told now")
    began = time.time()
    r = s.get(f"/v1/jobs/{job['id']}?wait=1&revision={done['revision']}")
    took = time.time() - began
    s.check(0.9 < took < 5 and r.status == 200, "the same revision takes its time", took)


def changes(s):
    job = long_job(s)
    running = until_running(s, job)
    s.equal(running["state"], "running", "it runs")
    s.check("etag" not in s.get(f"/v1/jobs/{job}").headers, "a running job has no tag")
    s.refused(s.curl("DELETE", f"/v1/jobs/{job}"), 409, "state-conflict", "it cannot be deleted")
    s.refused(s.post(f"/v1/jobs/{job}/retry"), 409, "state-conflict", "nor retried")
    s.refused(s.curl("DELETE", "/v1/models/long"), 409, "in-use", "nor its model deleted")
    seen = s.get(f"/v1/jobs/{job}").json()["revision"]
    s.refused(s.curl("PATCH", f"/v1/jobs/{job}", json_body={"priority": 1}), 428,
              "precondition-required", "a change needs If-Match")
    s.refused(s.curl("PATCH", f"/v1/jobs/{job}", json_body={"priority": 1},
                     headers={"If-Match": f'"r{seen + 7}"'}), 412, "precondition-failed",
              "with the present revision")
    r = s.curl("PATCH", f"/v1/jobs/{job}", json_body={"labels": {"new": "label"}},
               headers={"If-Match": f'"r{seen}"'})
    s.equal((r.status, r.json()["labels"], r.json()["revision"]),
            (200, {"new": "label"}, seen + 1), "labels are changed")
    s.refused(s.curl("PATCH", f"/v1/jobs/{job}", json_body={"labels": {"a": 1}},
                     headers={"If-Match": "*"}), 422, "invalid-field", "not to anything")
    began = time.time()
    r = s.post(f"/v1/jobs/{job}/cancel")
    s.check(r.status == 202 and r.json()["state"] in ("cancelling", "cancelled"), "cancelled", r)
    done = s.wait(job)
    s.check(done["state"] == "cancelled" and time.time() - began < 3, "within moments", done)
    s.equal(s.post(f"/v1/jobs/{job}/cancel").status, 200, "cancelling again changes nothing")
    r = s.get(f"/v1/jobs/{job}/artifact")
    s.refused(r, 404, "not-found", "it has no artifact")
    r = s.post(f"/v1/jobs/{job}/retry")
    s.equal((r.status, r.json()["state"]), (202, "queued"), "retried: the same job, queued again")
    r = s.post(f"/v1/jobs/{job}/cancel")
    s.wait(job)
    s.refused(s.curl("PATCH", f"/v1/jobs/{job}", json_body={"colour": 1},
                     headers={"If-Match": "*"}), 422, "invalid-field", "no such field")
    s.refused(s.curl("PATCH", f"/v1/jobs/{job}", json_body={"priority": 9},
                     headers={"If-Match": "*"}), 409, "state-conflict", "priority is over")
    s.equal(s.curl("DELETE", f"/v1/jobs/{job}").status, 204, "now it can be deleted")
    s.refused(s.get(f"/v1/jobs/{job}"), 404, "not-found", "it is gone")
    finished = s.wait(s.submit("m", "int8")["id"])["id"]
    s.refused(s.post(f"/v1/jobs/{finished}/cancel"), 409, "state-conflict", "too late to cancel")
    s.refused(s.post(f"/v1/jobs/{finished}/retry"), 409, "state-conflict", "nothing to retry")


def many(s):
    """Submits from many clients at once: every one acknowledged is there."""
    ids, lock = [], threading.Lock()

    def client():
        for _ in range(5):
            r = s.post("/v1/jobs", {"model": "m", "recipe": "f16"}, judged=False)
            with lock:
                ids.append(r.json()["id"] if r.status == 201 else None)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    s.check(None not in ids and len(set(ids)) == 40, "forty submits, forty jobs")
    queued = [j for j in s.get("/v1/jobs?state=queued&limit=500").json()["items"]]
    if queued:
        r = s.get(f"/v1/jobs/{queued[0]['id']}").json()
        s.check(r["state"] != "queued" or r["queue_position"] >= 0, "a queued job has a position")
    s.restart()
    for i in ids:
        s.equal(s.wait(i)["state"], "succeeded", f"{i} is done after the restart")


main("jobs", [], life, lists, waits, changes, many)
