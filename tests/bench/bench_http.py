#!/usr/bin/env python3
"""The front end's figures, each beside what it should be.

usage: bench_http.py BUILD [--only NAME,...] [--seconds N] [--dir DIR] [--streams N]

BUILD is a release build folder (meson setup BUILD -Dbuildtype=release). Needs wrk, and for `upload`
curl and openssl. Measures, always with a fresh daemon:

  reads    GET /v1/jobs/{id} by wrk, idle
  beside   the same while two jobs run and 32 clients submit
  submits  durable submits by 64 clients, against the machine's own fdatasync rate
  slow     the same with fsync slowed to 5 ms, and reads beside it
  streams  1,000 event streams on one running job, 200 events each
  upload   CPU per GB of an upload against `openssl dgst -sha256` on the same file, both in tmpfs

Data lies in DIR (a temporary folder where TMPDIR says). Not a test: nothing fails when the machine is
slow, and the load of the machine at the time stands beside every figure.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import re
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from bench_compress import make

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_MODEL = ROOT / "deploy/model/tiny-llama"
TICKS = os.sysconf("SC_CLK_TCK")
KB = 1024


class Daemon:
    def __init__(self, build, folder, *flags, environment=None):
        self.data = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        self.log = open(self.data / "log", "wb")
        self.process = subprocess.Popen(
            [str(build / "daemon/compressd"), "serve", "--data", str(self.data / "data"),
             "--listen", "127.0.0.1:0", "--log-level", "warn", *flags],
            stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, **(environment or {})})
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening on http://(\S+):(\d+)", line)
        if not match:
            sys.exit(f"the daemon did not start: {line!r}")
        self.host, self.port = match.group(1), int(match.group(2))

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=300)
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text) if text else None

    def submit(self, model, recipe, **more):
        return self.ask("POST", "/v1/jobs", {"model": model, "recipe": recipe, **more})["id"]

    def wait(self, job, state):
        while self.ask("GET", f"/v1/jobs/{job}")["state"] != state:
            time.sleep(0.02)

    def push_default_model(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for path in sorted(DEFAULT_MODEL.iterdir()):
                archive.add(path, arcname=path.name)
        self.ask("PUT", "/v1/models/default", out.getvalue(), {"Content-Type": "application/x-tar"})

    def push_big_model(self, gigabytes):
        path = self.data / "big.safetensors"
        make(path, int(gigabytes * 1e9))
        with open(path, "rb") as f:
            self.ask("PUT", "/v1/models/big", f, {"Content-Length": str(path.stat().st_size)})
        path.unlink()

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * KB

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.data)


@contextlib.contextmanager
def daemon(args, *flags, **options):
    d = Daemon(args.build, args.dir, *flags, **options)
    try:
        yield d
    finally:
        d.close()


def row(what, figure, wanted):
    load = os.getloadavg()[0]
    print(f"{what:<44} {figure:<36} {wanted:<28} load {load:.1f}", flush=True)


def wrk(d, path, seconds, connections=32, threads=2):
    """(requests a second, p99 in ms, answers other than 2xx)"""
    out = subprocess.run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency",
                          f"http://{d.host}:{d.port}{path}"],
                         capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: .*", out)
    if errors:
        print(f"  wrk: {errors.group(0)}")
    return rate, float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit], int(bad.group(1)) if bad else 0


def submitload(args, d, clients, seconds):
    return subprocess.Popen([str(args.build / "tests/bench/submitload"), str(d.port), str(clients),
                             str(seconds), "default", "int8"], stdout=subprocess.PIPE, text=True)


def outcome(load):
    text, _ = load.communicate()
    if load.returncode:
        sys.exit(f"submitload left with {load.returncode}")
    return json.loads(text)


def finished_job(d):
    d.push_default_model()
    job = d.submit("default", "int8")
    d.wait(job, "succeeded")
    return job


# ---- the figures ----


def bench_reads(args):
    with daemon(args) as d:
        job = finished_job(d)
        rate, p99, bad = wrk(d, f"/v1/jobs/{job}", args.seconds)
        row("GET job, idle", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} bad", "20,000/s")


def keep_running(d, count, stop):
    """Two jobs at work all the time."""
    def one():
        while not stop.is_set():
            job = d.submit("big", "int4-g128", priority=9)
            while not stop.is_set() and d.ask("GET", f"/v1/jobs/{job}")["state"] != "succeeded":
                time.sleep(0.1)
    threads = [threading.Thread(target=one, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def bench_beside(args):
    with daemon(args, "--jobs", "2") as d:
        job = finished_job(d)
        d.push_big_model(1.0)
        stop = threading.Event()
        threads = keep_running(d, 2, stop)
        while len(d.ask("GET", "/v1/jobs?state=running")["items"]) < 2:
            time.sleep(0.05)
        rate, p99, bad = wrk(d, f"/v1/jobs/{job}", args.seconds)
        row("GET job, two jobs running", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} bad", "")
        load = submitload(args, d, 32, args.seconds + 2)
        time.sleep(1)
        rate, p99, bad = wrk(d, f"/v1/jobs/{job}", args.seconds)
        got = outcome(load)
        stop.set()
        for thread in threads:
            thread.join()
        row("GET job, two jobs running, 32 submit", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} bad",
            "15,000/s, p99 < 20 ms")
        row("  the submits beside", f"{got['per_second']:,}/s, p99 {got['p99_ms']:.1f} ms", "")


def fdatasync_rate(folder, seconds=2):
    """4 KiB written over and synced, as often as the machine can."""
    path = Path(folder) / "bench-sync"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(fd, 0, 4 << 20)
    os.write(fd, bytes(4 << 20))
    os.fsync(fd)
    count, block, began = 0, os.urandom(4096), time.monotonic()
    while time.monotonic() - began < seconds:
        os.pwrite(fd, block, 4096 * (count % 1024))
        os.fdatasync(fd)
        count += 1
    rate = count / (time.monotonic() - began)
    os.close(fd)
    path.unlink()
    return rate


def bench_submits(args):
    with daemon(args) as d:
        finished_job(d)
        before = fdatasync_rate(args.dir)
        got = outcome(submitload(args, d, 64, args.seconds))
        machine = (before + fdatasync_rate(args.dir)) / 2
        row("fdatasync of the machine", f"{machine:,.0f}/s", "")
        row("durable submits, 64 clients, jobs run beside",
            f"{got['per_second']:,}/s = {got['per_second'] / machine:.1f} x, p99 {got['p99_ms']:.1f} ms,"
            f" {got['others']} bad", "5 x, or 10,000/s")


def bench_slow(args):
    preload = {"LD_PRELOAD": str(args.build / "tests/bench/slowsync.so"), "SLOWSYNC_MS": "5"}
    with daemon(args, environment=preload) as d:
        job = finished_job(d)
        got = outcome(submitload(args, d, 64, args.seconds))
        row("durable submits, fsync takes 5 ms", f"{got['per_second']:,}/s, p99 {got['p99_ms']:.1f} ms,"
            f" {got['others']} bad", "2,000/s")
        load = submitload(args, d, 64, args.seconds + 2)
        time.sleep(1)
        rate, p99, bad = wrk(d, f"/v1/jobs/{job}", args.seconds)
        got = outcome(load)
        row("  reads beside them", f"{rate:,.0f}/s, p99 {p99:.1f} ms, {bad} bad", "10,000/s")
        row("  submits beside those", f"{got['per_second']:,}/s, p99 {got['p99_ms']:.1f} ms", "")


class Stream:
    """One reader of GET /v1/jobs/{id}/events: the ids it saw, and nothing else."""

    ID = re.compile(rb'\{"id":\s*(\d+)')

    def __init__(self, d, job, selector):
        self.socket = socket.create_connection((d.host, d.port))
        self.socket.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
                            "Accept: application/x-ndjson\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.ids, self.rest = [], b""
        selector.register(self.socket, selectors.EVENT_READ, self)

    def take(self):
        data = self.rest + self.socket.recv(1 << 18)
        lines = data.split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            found = self.ID.match(line)
            if found:
                self.ids.append(int(found.group(1)))


def read_until(selector, streams, count, seconds):
    end = time.monotonic() + seconds
    while min(len(s.ids) for s in streams) < count and time.monotonic() < end:
        for key, _ in selector.select(1):
            key.data.take()


def bench_streams(args):
    """The events are edits of the running job: each is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with daemon(args, "--jobs", "1") as d:
        d.push_big_model(args.stream_gb)
        job = d.submit("big", "int4-g128")
        d.wait(job, "running")
        time.sleep(3)  # until the job has all the memory it will have
        before = d.resident_bytes()
        selector = selectors.DefaultSelector()
        streams = [Stream(d, job, selector) for _ in range(args.streams)]
        read_until(selector, streams, 2, 30)
        opened = d.resident_bytes()
        reader = threading.Thread(target=read_until, args=(selector, streams, 200, 60))
        reader.start()
        began = time.monotonic()
        for i in range(200):
            revision = d.ask("GET", f"/v1/jobs/{job}")["revision"]
            d.ask("PATCH", f"/v1/jobs/{job}", {"labels": {"n": str(i)}},
                  {"If-Match": f'"r{revision}"'})
        reader.join()
        took = time.monotonic() - began
        after = d.resident_bytes()
        state = d.ask("GET", f"/v1/jobs/{job}")["state"]
        whole = streams[0].ids[:200]
        contiguous = whole == list(range(whole[0], whole[0] + 200))
        same = sum(s.ids[:200] == whole for s in streams)
        row(f"{len(streams)} streams, 200 events each (job {state})",
            f"{same} equal, ids {'contiguous' if contiguous else 'NOT CONTIGUOUS'}, {took:.1f} s", "all")
        row("  memory a stream, opened / after the events",
            f"{(opened - before) / len(streams) / KB:.1f} / "
            f"{(after - before) / len(streams) / KB:.1f} KB", "<= 40 KB")
        for s in streams:
            s.socket.close()


def bench_upload(args):
    folder = tempfile.mkdtemp(prefix="bench-", dir="/dev/shm")
    source = Path(folder) / "source"
    try:
        make(source, int(args.upload_gb * 1e9))
        size = source.stat().st_size
        digest = subprocess.run(["openssl", "dgst", "-sha256", "-r", str(source)],
                                capture_output=True, text=True, check=True).stdout.split()[0]
        shm = argparse.Namespace(build=args.build, dir=folder)
        ours, theirs = [], []
        for _ in range(3):
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(["openssl", "dgst", "-sha256", str(source)], check=True,
                           stdout=subprocess.DEVNULL)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            theirs.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
            with daemon(shm) as d:
                before = d.cpu_seconds()
                subprocess.run(["curl", "-sSf", "-o", "/dev/null", "-T", str(source),
                                f"http://{d.host}:{d.port}/v1/blobs/sha256:{digest}"], check=True)
                ours.append(d.cpu_seconds() - before)
        a, b = sorted(ours)[1] / size * 1e9, sorted(theirs)[1] / size * 1e9
        row("upload, CPU per GB (median of 3)", f"{a:.2f} s, openssl {b:.2f} s = {a / b:.2f} x", "<= 3 x")
    finally:
        shutil.rmtree(folder)


FIGURES = {"reads": bench_reads, "beside": bench_beside, "submits": bench_submits,
           "slow": bench_slow, "streams": bench_streams, "upload": bench_upload}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("build", type=Path)
    p.add_argument("--only", default=",".join(FIGURES), help=f"of {', '.join(FIGURES)}")
    p.add_argument("--seconds", type=int, default=10, help="of each measurement")
    p.add_argument("--dir", default=None, help="where data lies")
    p.add_argument("--streams", type=int, default=1000)
    p.add_argument("--stream-gb", type=float, default=4.0, help="the streams' job must outlast them")
    p.add_argument("--upload-gb", type=float, default=1.0)
    args = p.parse_args()
    args.build = args.build.resolve()
    args.dir = args.dir or tempfile.gettempdir()
    print(f"{'what':<44} {'measured':<36} {'wanted':<28} beside")
    for name in args.only.split(","):
        FIGURES[name](args)


if __name__ == "__main__":
    main()
