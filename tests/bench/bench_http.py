#!/usr/bin/env python3
"""How quick the front end is: reads, durable submits, event streams, uploads.

usage: bench_http.py COMPRESSD [--dir DIR] [--seconds 5] [--streams 1000] [--gb 1] [--only FIGURE...]

Starts daemons of its own below DIR (default: a temporary directory), drives them with wrk and with
sockets, and prints one line per figure, with what it is measured against. Needs wrk, curl, openssl
and a C compiler (for the preload that slows fsync). Not a test: nothing fails when the machine is
slow.

    reads            GET /v1/jobs/{id}
    reads beside     the same while two jobs run and 32 clients submit
    submits          POST /v1/jobs of the default model, plan cached, 64 clients; against the
                     machine's own fdatasync rate
    slow disk        submits and reads with every fsync 5 ms slower
    streams          event streams on one running job: memory of each, and whether each saw the same
    upload           CPU per GB of PUT /v1/blobs on tmpfs, against openssl dgst -sha256
"""

import argparse
import hashlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/http"))
import tiny  # noqa: E402

SLOW_FSYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int fsync(int fd) { usleep(5000); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { usleep(5000); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


def say(what, text):
    print(f"{what:<14} {text}", flush=True)


class Daemon:
    def __init__(self, program, data, *flags, preload=None):
        env = dict(os.environ, **({"LD_PRELOAD": str(preload)} if preload else {}))
        self.process = subprocess.Popen(
            [program, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--log-level",
             "error", *flags],
            stdout=subprocess.PIPE, env=env)
        line = self.process.stdout.readline().decode()
        self.url = line.split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def curl(self, path, *arguments):
        out = subprocess.run(["curl", "-sS", *arguments, self.url + path], capture_output=True,
                             check=True).stdout
        return json.loads(out) if out else None

    def submit(self, model, recipe):
        return self.curl("/v1/jobs", "-H", "Content-Type: application/json", "-d",
                         json.dumps({"model": model, "recipe": recipe}))["id"]

    def wait(self, job, state=None):
        while True:
            j = self.curl(f"/v1/jobs/{job}?wait=1")
            if j["state"] == state or j["state"] in ("succeeded", "failed", "cancelled"):
                return j

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def private_kb(self):
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"Private_Dirty:\s+(\d+)", text).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)


def wrk(url, connections, seconds, post=None, scratch=None):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if post:
        script = Path(scratch, "post.lua")
        script.write_text('wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\n'
                          f"wrk.body='{json.dumps(post)}'\n")
        command += ["-s", str(script)]
    return subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)


def read_wrk(process):
    out = process.communicate()[0]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    ms = float(p99.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[p99.group(2)]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return rate, ms, int(bad.group(1)) if bad else 0


def fdatasync_rate(folder, seconds=2):
    fd = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY)
    until, count = time.time() + seconds, 0
    while time.time() < until:
        os.pwrite(fd, bytes(4096), 4096 * (count % 1000))
        os.fdatasync(fd)
        count += 1
    os.close(fd)
    return count / seconds


def put_default_model(daemon, scratch):
    tar = Path(scratch, "model.tar")
    if not tar.exists():
        with tarfile.open(tar, "w") as t:
            t.add(ROOT / "deploy/model/tiny-llama", arcname="tiny-llama")
    daemon.curl("/v1/models/m", "-T", str(tar), "-H", "Content-Type: application/x-tar")


def put_long_model(daemon, scratch, megabytes=2048):
    path = Path(scratch, "long.safetensors")
    if not path.exists():
        path.write_bytes(tiny.huge(megabytes))
    daemon.curl("/v1/models/long", "-T", str(path))


def reads_and_submits(args, scratch):
    daemon = Daemon(args.compressd, scratch / "a", "--jobs", "2")
    put_default_model(daemon, scratch)
    job = daemon.submit("m", "int8")
    daemon.wait(job)
    url, submit = f"{daemon.url}/v1/jobs/{job}", {"model": "m", "recipe": "int8"}
    rate, p99, bad = read_wrk(wrk(url, 32, args.seconds))
    say("reads", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} refused")

    put_long_model(daemon, scratch)
    running = [daemon.submit("long", "int4-g128") for _ in range(2)]
    for j in running:
        daemon.wait(j, "running")
    posts = wrk(daemon.url + "/v1/jobs", 32, args.seconds, submit, scratch)
    rate, p99, bad = read_wrk(wrk(url, 32, args.seconds))
    still = [daemon.curl(f"/v1/jobs/{j}")["state"] for j in running]
    submits, submit_p99, refused = read_wrk(posts)
    say("reads beside", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} refused; beside two jobs "
        f"({', '.join(still)} at the end) and {submits:,.0f} submits/s of 32 clients "
        f"(p99 {submit_p99:.1f} ms, {refused} refused)")
    for j in running:
        daemon.curl(f"/v1/jobs/{j}/cancel", "-X", "POST")
    daemon.stop()

    daemon = Daemon(args.compressd, scratch / "b", "--jobs", "1")
    put_default_model(daemon, scratch)
    put_long_model(daemon, scratch)
    daemon.wait(daemon.submit("long", "int4-g128"), "running")
    daemon.curl("/v1/plan", "-H", "Content-Type: application/json", "-d", json.dumps(submit))
    own = fdatasync_rate(scratch)
    rate, p99, bad = read_wrk(wrk(daemon.url + "/v1/jobs", 64, args.seconds, submit, scratch))
    say("submits", f"{rate:,.0f}/s durable, p99 {p99:.1f} ms, {bad} refused; the machine alone: "
        f"{own:,.0f} fdatasync/s ({rate / own:.1f} times)")
    daemon.stop()


def slow_disk(args, scratch):
    source, library = scratch / "slow.c", scratch / "slow.so"
    source.write_text(SLOW_FSYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    daemon = Daemon(args.compressd, scratch / "c", "--jobs", "1", preload=library)
    put_default_model(daemon, scratch)
    job = daemon.submit("m", "int8")
    daemon.wait(job)
    put_long_model(daemon, scratch)
    daemon.wait(daemon.submit("long", "int4-g128"), "running")
    submit = {"model": "m", "recipe": "int8"}
    posts = wrk(daemon.url + "/v1/jobs", 64, args.seconds, submit, scratch)
    rate, p99, _ = read_wrk(wrk(f"{daemon.url}/v1/jobs/{job}", 32, args.seconds))
    submits, submit_p99, refused = read_wrk(posts)
    say("slow disk", f"{submits:,.0f} submits/s (p99 {submit_p99:.1f} ms, {refused} refused), beside "
        f"{rate:,.0f} reads/s (p99 {p99:.1f} ms), every fsync 5 ms slower")
    daemon.stop()


class Stream:
    def __init__(self, daemon, path):
        self.socket = socket.create_connection(("127.0.0.1", daemon.port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: "
                            "text/event-stream\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.data = b""

    def ids(self):
        return [int(x) for x in re.findall(rb"\nid: (\d+)\nevent", self.data)]


def streams(args, scratch):
    daemon = Daemon(args.compressd, scratch / "d", "--jobs", "1")
    put_long_model(daemon, scratch)
    job = daemon.submit("long", "int4-g128")
    daemon.wait(job, "running")
    time.sleep(2)
    before = daemon.private_kb()
    path = f"/v1/jobs/{job}/events"
    all_streams = [Stream(daemon, path) for _ in range(args.streams)]
    selector = selectors.DefaultSelector()
    for s in all_streams:
        selector.register(s.socket, selectors.EVENT_READ, s)

    def drain(seconds):
        until = time.time() + seconds
        while time.time() < until:
            for key, _ in selector.select(0.1):
                try:
                    key.data.data += key.fileobj.recv(65536)
                except BlockingIOError:
                    pass

    drain(1)
    began = time.time()
    for i in range(200):  # each change of the labels is an event
        daemon.curl(f"/v1/jobs/{job}", "-X", "PATCH", "-H", "Content-Type: application/json", "-H",
                    "If-Match: *", "-d", json.dumps({"labels": {"n": str(i)}}))
        drain(0.005)
    took = time.time() - began
    drain(2)
    after = daemon.private_kb()
    state = daemon.curl(f"/v1/jobs/{job}")["state"]
    page = daemon.curl(f"{path}?limit=500", "-H", "Accept: application/json")
    wanted = [e["id"] for e in page["items"]]
    same = sum(s.ids() == wanted[: len(s.ids())] and len(s.ids()) >= 200 for s in all_streams)
    say("streams", f"{args.streams} on a job that is {state}: {(after - before) / args.streams:.1f} "
        f"KB each; {same} saw the same {min(len(s.ids()) for s in all_streams)} to "
        f"{max(len(s.ids()) for s in all_streams)} events in order; 200 of them in {took:.1f} s")
    for s in all_streams:
        s.socket.close()
    daemon.curl(f"/v1/jobs/{job}/cancel", "-X", "POST")
    daemon.stop()


def upload(args, scratch):
    memory = Path(tempfile.mkdtemp(prefix="bench-http-", dir="/dev/shm"))
    try:
        data = memory / "data"
        block = os.urandom(1 << 20)
        digest = hashlib.sha256()
        with open(data, "wb") as f:
            for _ in range(args.gb * 1024):
                f.write(block)
                digest.update(block)
        began = os.times()
        subprocess.run(["openssl", "dgst", "-sha256", data], check=True, capture_output=True)
        ended = os.times()
        alone = ended.children_user + ended.children_system - began.children_user - (
            began.children_system)
        daemon = Daemon(args.compressd, memory / "e")
        before = daemon.cpu_seconds()
        daemon.curl(f"/v1/blobs/sha256:{digest.hexdigest()}", "-T", str(data))
        cpu = daemon.cpu_seconds() - before
        daemon.stop()
        say("upload", f"{cpu / args.gb:.2f} s of CPU per GB; openssl dgst: {alone / args.gb:.2f} s "
            f"({cpu / alone:.1f} times)")
    finally:
        shutil.rmtree(memory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("compressd")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--gb", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="reads_and_submits slow_disk streams upload")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="bench-http-", dir=args.dir))
    try:
        for figure in (reads_and_submits, slow_disk, streams, upload):
            if not args.only or figure.__name__ in args.only:
                figure(args, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
