"""What is refused when there is too much of it, and clients that dawdle."""
import contextlib
import socket
import time

import tiny
from harness import main


def connect(s):
    return socket.create_connection((s.daemon.host, s.daemon.port), timeout=20)


def connections(s):
    """Above the soft limit all but health is 503; and it comes back."""
    idle = []
    for _ in range(24):
        c = connect(s)
        c.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        c.recv(4096)
        idle.append(c)
    for path in ("/healthz", "/readyz", "/metrics"):
        s.equal(s.get(path).status, 200, f"{path} still answers")
    r = s.get("/v1/jobs")
    s.refused(r, 503, "overloaded", "the rest does not")
    s.check("retry-after" in r.headers and r.headers.get("connection") == "close",
            "and says when to come back", r.headers)
    s.refused(s.put("/v1/models/m", tiny.model()), 503, "overloaded", "uploads neither")
    for c in idle:
        c.close()
    until = time.time() + 10
    while s.get("/v1/jobs", judged=False).status != 200 and time.time() < until:
        time.sleep(0.1)
    s.equal(s.get("/v1/jobs").status, 200, "with room again it does")


def uploads(s):
    data = bytes(3 << 20)
    r = s.put("/v1/models/large", data)
    s.refused(r, 413, "over-limit", "a model larger than the limit, known by its length")
    r = s.put("/v1/models/large", data, headers={"Transfer-Encoding": "chunked"}, judged=False)
    s.check(r.status in (413, 0, 100), "known only when it has come: refused or cut off", r)
    part = bytes((2 << 20) + 300_000)
    r = s.put("/v1/models/large", part, headers={"Transfer-Encoding": "chunked"})
    s.refused(r, 413, "over-limit", "a little over, chunked: answered after the rest was dropped")
    r = s.put("/v1/models/large", tiny.tar({"a.safetensors": part[:1 << 20] * 2, "b": part[:300_000]}),
              headers={"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"})
    s.refused(r, 413, "over-limit", "a tar with too much in it")
    s.staging_empties("nothing is left in staging")
    s.upload("small", tiny.model())


def slow(s):
    """A body below the minimum rate is closed; one that is merely slow is not."""
    head = (b"PUT /v1/models/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
    began = time.time()
    with connect(s) as c, contextlib.suppress(OSError):
        c.sendall(head)
        while time.time() - began < 30:
            c.sendall(b"x" * 100)
            time.sleep(0.3)
            c.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if c.recv(1) == b"":
                    break
            c.setblocking(True)
    took = time.time() - began
    s.check(4 < took < 20, "a dawdling upload is closed after a grace", took)
    data = tiny.model(rows=16, layers=1, seed=9)
    with connect(s) as c:
        c.sendall(head.replace(b"1000000", str(len(data)).encode()) + data[:-4000])
        time.sleep(2)
        c.sendall(data[-4000:])
        answer = c.recv(4096)
    s.check(answer.startswith(b"HTTP/1.1 201"), "one that stops for a moment is not", answer[:200])
    s.staging_empties("nothing is left in staging")


def disk(s):
    """A disk below its low-water mark: nothing comes in, everything is still served."""
    s.upload("before", tiny.model(rows=16, layers=1, seed=3))
    s.equal(s.daemon.stop(), 0, "the daemon stops cleanly")
    flags, s.flags = s.flags, (*s.flags, "--low-water", "1000000G")
    s.start()
    s.refused(s.get("/readyz"), 507, "out-of-disk", "it is not ready")
    s.equal(s.get("/healthz").status, 200, "but alive")
    s.equal(s.get("/v1/models/before").status, 200, "and serves what is there")
    data = tiny.model()
    for path, more in [("/v1/models/after", {}), ("/v1/blobs/sha256:" + "0" * 64, {}),
                       ("/v1/models/after", {"Content-Type": "application/x-tar"})]:
        r = s.put(path, data, headers=more)
        s.refused(r, 507, "out-of-disk", f"{path} {more}: no room")
        s.check("retry-after" in r.headers, "worth another try later", r.headers)
    s.equal(s.daemon.stop(), 0, "the daemon stops cleanly")
    s.flags = flags
    s.start()
    s.equal(s.get("/readyz").status, 200, "with room again it is ready")
    s.upload("after", data)


main("limits", ["--max-connections", "20", "--max-upload", "2M", "--min-body-rate", "4K"],
     uploads, connections, slow, disk)
