"""Clients that break off anywhere, many at once: the daemon neither notices nor leaks."""
import random
import re
import socket
import struct
import threading
import time

import tiny
from harness import main
from longjob import long_job, until_running

CLIENTS, EACH = 8, 40


def requests(s, job):
    """Whole requests, to be cut anywhere."""
    data = tiny.model(rows=64, layers=1, seed=4)
    tar = tiny.tar({**tiny.folder(), "big": bytes(2_000_000)})
    plan = b'{"model":"m","recipe":"int8"}'
    host = b" HTTP/1.1\r\nHost: localhost\r\n"

    def body(method, path, kind, content):
        return (method + b" " + path + host + b"Content-Type: " + kind + b"\r\nContent-Length: "
                + str(len(content)).encode() + b"\r\n\r\n" + content)

    def chunked(method, path, kind, content):
        out = method + b" " + path + host + b"Content-Type: " + kind
        out += b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        for i in range(0, len(content), 50_000):
            part = content[i:i + 50_000]
            out += b"%x\r\n" % len(part) + part + b"\r\n"
        return out + b"0\r\n\r\n"

    json = b"application/json"
    events = f"/v1/jobs/{job}/events".encode()
    return [
        lambda n: body(b"PUT", b"/v1/models/c%d" % n, b"application/octet-stream", data),
        lambda n: body(b"PUT", b"/v1/models/t%d" % n, b"application/x-tar", tar),
        lambda n: chunked(b"PUT", b"/v1/models/k%d" % n, b"application/x-tar", tar),
        lambda n: chunked(b"PUT", b"/v1/blobs/sha256:" + b"0" * 64, b"application/octet-stream", data),
        lambda n: body(b"POST", b"/v1/plan", json, plan),
        lambda n: body(b"POST", b"/v1/jobs", json, plan),
        lambda n: b"GET " + events + host + b"\r\n",
        lambda n: b"GET " + events + host + b"Accept: text/event-stream\r\n\r\n",
        lambda n: f"GET /v1/jobs/{job}?wait=2".encode() + host + b"\r\n",
        lambda n: b"GET /v1/models/m/files/model.safetensors" + host + b"\r\n",
        lambda n: (b"GET /v1/jobs?limit=500" + host + b"\r\n") * 5,
    ]


def break_off(s):
    s.upload("m", tiny.model())
    job = long_job(s)
    until_running(s, job)
    kinds = requests(s, job)
    failures = []

    def client(seed):
        rng = random.Random(seed)
        for i in range(EACH):
            data = rng.choice(kinds)(seed * EACH + i)
            cut = len(data) if rng.random() < 0.4 else rng.randrange(len(data))
            try:
                c = socket.create_connection((s.daemon.host, s.daemon.port), timeout=10)
                c.sendall(data[:cut])
                if rng.random() < 0.5:
                    time.sleep(rng.random() * 0.1)
                if cut == len(data) and rng.random() < 0.5:
                    c.recv(rng.randrange(1, 5000))
                if rng.random() < 0.5:  # a reset instead of an end
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.close()
            except TimeoutError:
                failures.append((seed, i, "no answer within 10 s"))
            except OSError:
                pass

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    s.equal(failures, [], "nobody was left hanging")
    s.check(s.daemon.alive(), "the daemon lives", s.daemon.said())
    s.post(f"/v1/jobs/{job}/cancel")
    s.wait(job)
    for j in s.get("/v1/jobs?state=queued&limit=500").json()["items"]:
        s.wait(j["id"])
    s.staging_empties("staging is empty", seconds=10)
    s.equal(s.get("/readyz").status, 200, "it is ready")
    s.upload("after", tiny.model(seed=6))


def streams_are_counted(s):
    """Streams whose clients have gone are found by their pings."""
    until, left = time.time() + 40, None
    while time.time() < until:
        text = s.get("/metrics", judged=False).body.decode()
        left = int(re.search(r"^compressd_http_event_streams (\d+)$", text, re.M).group(1))
        if left == 0:
            break
        time.sleep(0.5)
    s.equal(left, 0, "no stream is left")


main("chaos", [], break_off, streams_are_counted)
