"""One bit flips between writing an artifact and verifying it: the job fails, nothing is kept."""

import rig


def flipped(r):
    r.start()
    r.upload("victim", rig.small_model(1))
    before = r.blob_files()
    for recipe in ("int8", "int4-g128", "fp8", "bf16"):
        job = r.submit("victim", recipe, labels={"test-hook": "flip"})
        end = r.over(job)
        r.equal(end["state"], "failed", f"{recipe}: the job with the flipped bit fails")
        r.equal((end["problem"] or {}).get("type"), "/problems/verification-failed",
                f"{recipe}: because verification failed")
        r.equal(end["artifact"], None, f"{recipe}: there is no artifact")
        for what in ("artifact", "artifacts", "report"):
            answer = r.request("GET", f"/v1/jobs/{job}/{what}")
            r.check(answer.status in (404, 409), f"{recipe}: no {what} is handed out", answer)
        r.equal(r.staging(), [], f"{recipe}: staging is empty when the end is told")
        r.equal(r.blob_files(), before, f"{recipe}: no blob was made")
        good = r.over(r.submit("victim", recipe))
        r.equal(good["state"], "succeeded", f"{recipe}: without the flip the same job succeeds")
        before = r.blob_files()
    r.rows_match_files("after the flips")


rig.main("flip", (), flipped)
