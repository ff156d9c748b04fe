"""The disk is full, at ten positions: clear answers, and everything goes on once there is room.

Positions 1 to 7 leave from nothing to almost enough before work is asked for; 8 to 10 take all
space away in the middle of a running job.  The daemon is never restarted.  Needs to mount a tmpfs,
in a mount namespace of its own (unshare); where that is impossible the program says so and counts
as skipped.
"""

import os
import subprocess
import sys
import time

import rig

MIB = 1 << 20
DISK_BYTES = 256 * MIB
LOW_WATER = 0  # the full disk itself is met, not the reserve before it
LONG = rig.big_model(1, 64)
SMALL = rig.small_model(2)
BEFORE = (0, 4096, 64 * 1024, MIB, 4 * MIB, 16 * MIB, 30 * MIB)
DURING = (0.2, 0.5, 0.8)  # of the job's usual time


class Disk:
    """A small file system, filled by one file to leave just so much."""

    def __init__(self, path):
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "compressd",
                        str(path)], check=True)
        self.path = path
        self.filler = path / "filler"

    def free_bytes(self):
        fs = os.statvfs(self.path)
        return fs.f_bavail * fs.f_frsize

    def fill(self, leave):
        """Again until it is so: the daemon gives back and takes meanwhile."""
        with open(self.filler, "ab") as f:
            for _ in range(100):
                more = self.free_bytes() - leave
                if more < 4096:
                    return
                try:
                    os.posix_fallocate(f.fileno(), os.fstat(f.fileno()).st_size, more)
                except OSError:
                    pass  # somebody was quicker

    def free(self):
        self.filler.unlink()


def fresh(n):
    """A model nobody has seen."""
    return rig.weights(1000 + n, 1024, 1024, 2)


def refused_or_taken(r, where, answer, took):
    clear = answer.status == 507 and answer.slug() == "out-of-disk"
    r.check(answer.status in took or clear, f"{where}: taken, or refused with a full disk", answer)
    if clear:
        print(f"# {where}: {answer.json()['detail']}")
    return not clear


def uploads(r, where, n):
    """A model and a blob, with a length and without; what was taken must be whole."""
    data = fresh(n)
    taken = refused_or_taken(r, f"{where}: upload with a length",
                             r.request("PUT", f"/v1/models/m{n}", data), (200, 201))
    blob = fresh(n + 100)
    digest = rig.sha256(blob)
    chunks = [blob[at:at + 65536] for at in range(0, len(blob), 65536)]
    try:
        answer = r.request("PUT", f"/v1/blobs/sha256:{digest}", iter(chunks))
        if refused_or_taken(r, f"{where}: upload without a length", answer, (200, 201)):
            got = r.request("GET", f"/v1/blobs/sha256:{digest}")
            r.equal(rig.sha256(got.body), digest, f"{where}: the blob that was taken is whole")
    except rig.Gone:
        # Nothing can be answered in the middle of a long body: closing is the answer then.
        r.check(True, f"{where}: upload without a length: the connection was closed")
    r.equal(r.request("GET", "/healthz").status, 200, f"{where}: the daemon is alive")
    return taken


def submit(r, where, model):
    answer = r.request("POST", "/v1/jobs", {"model": model, "recipe": "int4-g128"})
    return answer.json()["id"] if refused_or_taken(r, f"{where}: submit", answer, (201,)) else None


def settle(r, job, seconds=3):
    """Gives a job on a full disk a while: it ends, or it waits."""
    end = time.monotonic() + seconds
    while job and r.job(job)["state"] not in rig.TERMINAL and time.monotonic() < end:
        time.sleep(0.05)


def goes_on(r, where, n, job, wanted):
    """There is room again."""
    end = time.monotonic() + 10
    while r.request("GET", "/readyz").status != 200 and time.monotonic() < end:
        time.sleep(0.05)
    r.equal(r.request("GET", "/readyz").status, 200, f"{where}: ready again without a restart")
    answer = r.request("PUT", f"/v1/models/m{n}", fresh(n))
    r.check(answer.status in (200, 201), f"{where}: the upload is taken now", answer)
    if job is None:
        job = submit(r, where, "long")
    now = r.over(job)
    if now["state"] == "failed":
        r.equal(now["problem"]["type"], "/problems/out-of-disk", f"{where}: the job says why")
        answer = r.request("POST", f"/v1/jobs/{job}/retry")
        r.equal(answer.status, 202, f"{where}: it may be retried")
        now = r.over(job)
    r.equal(now["state"], "succeeded", f"{where}: the job succeeds")
    r.equal(r.artifact(job), wanted, f"{where}: with the usual bytes")
    r.staging_empties(f"{where}: staging is empty")
    r.rows_match_files(where)
    # The next position begins with the same things on the disk.
    for path in (f"/v1/jobs/{job}", f"/v1/models/m{n}"):
        r.equal(r.request("DELETE", path).status, 204, f"{where}: {path[4:8]} is deleted")


def positions(r):
    wanted, usual_s = r.undisturbed({"long": LONG}, [("long", "int4-g128")])["long", "int4-g128"]
    disk = Disk(r.data)
    r.data = disk.path / "data"
    r.start()
    r.upload("long", LONG)
    r.upload("small", SMALL)
    for n, leave in enumerate(BEFORE, 1):
        where = f"position {n}, {leave} bytes left"
        disk.fill(leave)
        uploads(r, where, n)
        r.staging_empties(f"{where}: nothing stays of refused uploads")
        disk.fill(leave)
        job = submit(r, where, "long")
        settle(r, job)
        end = r.job(job)["state"] if job else "not taken"
        print(f"# {where}: the job is {end}")
        r.check(end != "succeeded" or leave >= MIB, f"{where}: it did not fit", end)
        disk.free()
        goes_on(r, where, n, job, wanted)
    for n, part in enumerate(DURING, len(BEFORE) + 1):
        where = f"position {n}, {round(100 * part)} % into a job"
        job = submit(r, where, "long")
        r.until(job, lambda j: j["state"] != "queued")
        time.sleep(part * usual_s)
        disk.fill(0)
        settle(r, job)
        print(f"# {where}: the job is {r.job(job)['state']}")
        uploads(r, where, n)
        other = submit(r, where, "small")
        r.check(r.request("GET", f"/v1/jobs/{job}").status == 200, f"{where}: reading works")
        disk.free()
        goes_on(r, where, n, job, wanted)
        if other:
            r.check(r.over(other)["state"] in ("succeeded", "failed"), f"{where}: the other ends")


def own_namespace():
    """The same program again where it may mount: as root, else as root of its own user namespace."""
    if "--inside" in sys.argv:
        return
    ways = [["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]]
    for way in ways:
        probe = "d=$(mktemp -d) && mount -t tmpfs -o size=1m probe $d && umount $d; s=$?; rmdir $d; exit $s"
        try:
            if subprocess.run([*way, "sh", "-c", probe], capture_output=True).returncode == 0:
                os.execvp(way[0], [*way, sys.executable, *sys.argv, "--inside"])
        except FileNotFoundError:
            break
    print("SKIPPED: no small file system can be mounted here (neither as root nor in a user"
          " namespace); a full disk was NOT tested")
    sys.exit(77)


own_namespace()
rig.main("diskfull", ("--low-water", str(LOW_WATER)), positions)
