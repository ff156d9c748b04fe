"""One model brings the server down each time it runs; its neighbour must not suffer.

The label "test-hook": "abort" makes a job abort where a broken model would have. After each death
the daemon is started again, as a service manager would. FAULT_MB (128): size of the good model.
"""

import signal

import rig

LONG = rig.big_model(1, rig.number("FAULT_MB", 128))
COUNTED = 3  # deaths alone that make a job fail
MOST_DEATHS = 8  # more than it should take


def beside(r):
    wanted = r.undisturbed({"long": LONG}, [("long", "int4-g128")])["long", "int4-g128"][0]
    for order in ("the good one first", "the bad one first"):
        r.start()
        r.upload("long", LONG)
        r.upload("bad", rig.small_model(1))
        together(r, order, wanted)
    r.daemon = None


def together(r, order, wanted):
    """The jobs by their labels: an answer to a submit may be lost when the daemon dies."""
    to_submit = [("good", {"model": "long", "recipe": "int4-g128", "labels": {"job": "good"}}),
                 ("bad", {"model": "bad", "recipe": "int8",
                          "labels": {"job": "bad", "test-hook": "abort"}})]
    if order == "the bad one first":
        to_submit.reverse()
    deaths, state = 0, {}
    while len(state) < 2 and deaths < MOST_DEATHS:
        try:
            for job, body in to_submit:
                if job not in ids(r):
                    r.request("POST", "/v1/jobs", body)
                if job == "good":
                    r.until(ids(r)[job], lambda j: j["state"] != "queued" or deaths > 0)
            state = {job: r.over(n)["state"] for job, n in ids(r).items()}
        except rig.Gone:
            deaths += 1
            r.equal(r.daemon.process.wait(), -signal.SIGABRT, f"{order}: death {deaths} by abort")
            r.start()
    r.equal(deaths, 1 + COUNTED, f"{order}: one death raised suspicion, {COUNTED} more decided")
    r.equal(state, {"good": "succeeded", "bad": "failed"}, f"{order}: good succeeds, bad fails")
    job = ids(r)
    r.equal(r.artifact(job["good"]), wanted, f"{order}: good's bytes are those of a calm run")
    r.equal(r.job(job["bad"])["problem"]["type"], "/problems/crashed", f"{order}: bad is told why")
    r.equal(dict(r.query("SELECT id, deaths FROM job")), {job["good"]: 0, job["bad"]: COUNTED},
            f"{order}: deaths are counted fairly")
    after = r.submit("bad", "int8")
    r.equal(r.over(after)["state"], "succeeded", f"{order}: the server takes more work")
    r.staging_empties(f"{order}: staging is empty")
    r.rows_match_files(order)
    for n in [after, *job.values()]:
        r.equal(r.request("DELETE", f"/v1/jobs/{n}").status, 204, f"{order}: tidied up")
    r.equal(r.daemon.stop(), 0, f"{order}: the daemon stops cleanly")


def ids(r):
    return dict(r.query("SELECT value, (SELECT id FROM job WHERE n = job) FROM job_label "
                        "WHERE key = 'job'"))


def outside(r):
    """A kill from outside while a job runs alone, again and again, is not the job's fault."""
    r.start()
    for kill in range(COUNTED + 2):
        job = r.submit("long", "int4-g128") if kill == 0 else job
        r.until(job, lambda j: j["state"] == "running")
        r.daemon.kill()
        r.start()
    r.equal(r.over(job)["state"], "succeeded", f"{COUNTED + 2} kills from outside cost nothing")
    r.equal(r.query(f"SELECT deaths FROM job WHERE id = '{job}'"), [(0,)], "no death is counted")


rig.main("suspects", ("--jobs", "2"), beside, outside)
