"""A job that runs for seconds, to be met in the middle: the slowest of the presets."""
import tiny


def long_job(s, megabytes=512):
    path = s.dir / "long.safetensors"
    if not path.exists():
        path.write_bytes(tiny.huge(megabytes))
        s.upload("long", path)
    return s.submit("long", "int4-g128", labels={"long": "yes"})["id"]


def until_running(s, job):
    r = s.get(f"/v1/jobs/{job}?wait=30&revision=1").json()
    while r["state"] == "queued":
        r = s.get(f"/v1/jobs/{job}?wait=30&revision={r['revision']}").json()
    return r
