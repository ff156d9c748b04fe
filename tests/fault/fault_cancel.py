"""Cancelling a long job at any moment: over within a second, nothing left behind.

FAULT_CANCELS (50), FAULT_MB (128): how often, and the size of the model.
"""

import time

import rig

CANCELS = rig.number("FAULT_CANCELS", 50)
LONG = rig.big_model(1, rig.number("FAULT_MB", 128))
RECIPES = ("int4-g128", "int8", "w8a8", "bf16")
WITHIN_S = 1.0


def cancels(r):
    wanted = r.undisturbed({"long": LONG}, [("long", recipe) for recipe in RECIPES])
    r.start()
    r.upload("long", LONG)
    blobs = r.blob_files()
    met, slowest, late = {}, 0.0, 0
    count = 0
    usual_s = {recipe: wanted["long", recipe][1] for recipe in RECIPES}
    while count < CANCELS and late < 3 * CANCELS:
        recipe = r.rng.choice(RECIPES)
        job = r.submit("long", recipe)
        time.sleep(r.rng.uniform(0, 0.95) * usual_s[recipe])
        stage = (r.job(job).get("progress") or {}).get("stage")
        began = time.monotonic()
        answer = r.request("POST", f"/v1/jobs/{job}/cancel")
        if answer.status == 409:  # it was quicker than the calm run
            late += 1
            usual_s[recipe] *= 0.8
            r.equal(r.over(job)["state"], "succeeded", "too late to cancel: it had succeeded")
            blobs = r.blob_files()
            continue
        count += 1
        r.equal(answer.status, 202, f"cancel {count}: accepted")
        end = r.over(job)
        took_s = time.monotonic() - began
        slowest = max(slowest, took_s)
        what = answer.json()["state"] if stage is None else stage
        met[what] = met.get(what, 0) + 1
        r.equal(end["state"], "cancelled", f"cancel {count}: {recipe} in '{what}' ends cancelled")
        r.check(took_s <= WITHIN_S, f"cancel {count}: within {WITHIN_S} s", f"{took_s:.3f} s")
        r.equal(end["artifact"], None, f"cancel {count}: there is no artifact")
        r.equal(r.staging(), [], f"cancel {count}: staging is empty when the end is told")
        r.equal(r.blob_files(), blobs, f"cancel {count}: no blob was made")
    print(f"# slowest {1000 * slowest:.0f} ms; too late {late} times; met in {met}")
    r.equal(count, CANCELS, "as many cancels as wanted")
    r.rows_match_files("after the cancels")
    for (model, recipe), (digest, _) in wanted.items():
        job = r.submit(model, recipe)
        r.equal(r.over(job)["state"], "succeeded", f"{recipe} afterwards succeeds")
        r.equal(r.artifact(job), digest, f"{recipe} afterwards has the same bytes")


rig.main("cancel", (), cancels)
