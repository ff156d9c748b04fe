"""Stopping while everything is under way: no crash, nothing acknowledged lost."""
import socket
import subprocess
import sys
import time

import tiny
from harness import Suite
from longjob import long_job, until_running


def busy_stop(s, round_number):
    job = long_job(s)
    until_running(s, job)
    url = s.daemon.url + f"/v1/jobs/{job}"
    streams = [subprocess.Popen(["curl", "-sN", "-m", "60", url + "/events"],
                                stdout=subprocess.PIPE) for _ in range(5)]
    waits = [subprocess.Popen(["curl", "-s", "-m", "60", f"{url}?wait=60"],
                              stdout=subprocess.PIPE) for _ in range(5)]
    upload = socket.create_connection((s.daemon.host, s.daemon.port))
    upload.sendall(b"PUT /v1/models/half HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Length: 5000000\r\n\r\n" + bytes(100_000))
    tar = socket.create_connection((s.daemon.host, s.daemon.port))
    tar.sendall(b"PUT /v1/models/halftar HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                b"application/x-tar\r\nContent-Length: 5000000\r\n\r\n"
                + tiny.tar(tiny.folder())[:50_000])
    idle = [socket.create_connection((s.daemon.host, s.daemon.port)) for _ in range(5)]
    time.sleep(0.5)
    began = time.time()
    s.equal(s.daemon.stop(60), 0, f"round {round_number}: it stops cleanly")
    s.check(time.time() - began < 15, f"round {round_number}: soon", time.time() - began)
    s.check("Sanitizer" not in s.daemon.said(), "no sanitizer spoke", s.daemon.said())
    for p in streams:
        s.equal(p.wait(20), 0, f"round {round_number}: a stream ends properly")
    for p in waits:
        out = p.communicate(timeout=20)[0]
        s.check(p.returncode == 0 and b'"state"' in out,
                f"round {round_number}: a waiting client is answered", (p.returncode, out[:200]))
    for c in (upload, tar, *idle):
        c.close()
    s.start()
    state = s.get(f"/v1/jobs/{job}").json()
    s.check(state["state"] in ("queued", "running", "succeeded"),
            f"round {round_number}: the job goes on", state)
    s.post(f"/v1/jobs/{job}/cancel")
    s.wait(job)
    s.staging_empties(f"round {round_number}: staging is empty in the end")


def run():
    s = Suite("stop")
    with s.section("stop"):
        for i in range(3):
            busy_stop(s, i)
    return s.done()


sys.exit(run())
