"""SIGTERM while jobs run: they go back to the queue, go on after the next start, same bytes.

FAULT_STOPS (5), FAULT_MB (128): how often, and the size of the model.
"""

import subprocess
import threading
import time

import rig

STOPS = rig.number("FAULT_STOPS", 5)
LONG = rig.big_model(1, rig.number("FAULT_MB", 128))
RECIPES = ("int4-g128", "int8")
WITHIN_S = 5


def stops(r):
    wanted = r.undisturbed({"long": LONG}, [("long", recipe) for recipe in RECIPES])
    r.start()
    r.upload("long", LONG)
    jobs, requeued = {}, 0
    for stop in range(1, STOPS + 1):
        for recipe in RECIPES:
            jobs[r.submit("long", recipe)] = recipe
        open_jobs = [j for j in jobs if r.job(j)["state"] not in rig.TERMINAL]
        r.until(open_jobs[0], lambda j: j["state"] != "queued")
        time.sleep(r.rng.uniform(0, 0.9) * wanted["long", "int4-g128"][1])
        running = [j for j in open_jobs if r.job(j)["state"] == "running"]
        readers = [threading.Thread(target=read_events, args=(r.daemon, j)) for j in open_jobs]
        for reader in readers:
            reader.start()
        began = time.monotonic()
        r.equal(r.daemon.stop(), 0, f"stop {stop}: exit code 0, {len(running)} jobs were running")
        took_s = time.monotonic() - began
        r.check(took_s < WITHIN_S, f"stop {stop}: within {WITHIN_S} s", f"{took_s:.2f} s")
        for reader in readers:
            reader.join(WITHIN_S)
        r.check(not any(t.is_alive() for t in readers), f"stop {stop}: the streams end")
        states = dict(r.query("SELECT id, state FROM job"))
        r.check(all(states[j] in ("queued", "succeeded") for j in jobs),
                f"stop {stop}: every job is queued or done", states)
        requeued += sum(states[j] == "queued" for j in running)
        suspects = r.query("SELECT count(*) FROM job WHERE suspect")
        r.equal(suspects, [(0,)], f"stop {stop}: nobody is suspected")
        r.equal(r.staging(), [], f"stop {stop}: staging is empty")
        r.start()
    r.check(requeued > 0, "some of the stops met a running job", requeued)
    for job, recipe in jobs.items():
        r.equal(r.over(job)["state"], "succeeded", f"{recipe}: went on and succeeded")
        r.equal(r.artifact(job), wanted["long", recipe][0], f"{recipe}: has the usual bytes")
    r.staging_empties("staging is empty in the end")
    r.rows_match_files("after the stops")


def read_events(daemon, job):
    try:
        daemon.request("GET", f"/v1/jobs/{job}/events")
    except rig.Gone:
        pass  # it came too late


def second(r):
    """A second daemon on the same data directory is refused and told by whom."""
    other = subprocess.run([rig.program(), "serve", "--data", str(r.data), "--listen",
                            "127.0.0.1:0"], capture_output=True, text=True, timeout=rig.SLOWEST_S)
    r.check(other.returncode not in (0, None) and "listening" not in other.stdout,
            "a second daemon is refused", other)
    r.check(f"process {r.daemon.process.pid}" in other.stderr, "and told the owner's number", other)
    r.equal(r.request("GET", "/readyz").status, 200, "the first is none the worse")


rig.main("stop", ("--jobs", "2"), stops, second)
