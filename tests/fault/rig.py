"""What every fault program shares: a daemon that may die, a client that notices, models, a count.

A program makes one Rig, states facts with check() and ends with sys.exit(rig.done()).  Each check
prints "ok - ..." or "not ok - ...", the last line is "N passed, N failed".  Only the standard
library is used.

Environment:
    COMPRESSD     the daemon under test
    FAULT_KEEP    keep the data directory, and say where it is
    FAULT_SEED    of everything random (printed at the start)
"""

import hashlib
import http.client
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

TERMINAL = ("succeeded", "failed", "cancelled")
ASK_BYTES = 100_000  # longer bodies wait to be asked for
SLOWEST_S = 300  # of a single wait: only a hang takes longer, sanitizers and a busy machine included


def number(name, otherwise):
    return int(os.environ.get(name, otherwise))


# ---- models ----

# Every byte becomes the upper half of a bf16 number with a magnitude between 2^-9 and 2^-5.
_UPPER = bytes((0x80 if b & 1 else 0) | (0x3B + (b >> 1) % 2) for b in range(256))


def weights(seed, rows, cols, tensors, distinct=None):
    """A safetensors file of random finite bf16 matrices, named as a Llama's layers are. distinct:
    after so many they repeat, which is quicker to make."""
    rng = random.Random(seed)
    distinct = min(distinct or tensors, tensors)
    size = 2 * rows * cols
    header = {
        f"model.layers.{i}.mlp.up_proj.weight": {
            "dtype": "BF16",
            "shape": [rows, cols],
            "data_offsets": [i * size, (i + 1) * size],
        }
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = bytearray(distinct * size)
    data[0::2] = rng.randbytes(distinct * size // 2)
    data[1::2] = rng.randbytes(distinct * size // 2).translate(_UPPER)
    whole = bytes(data) * (tensors // distinct + 1)
    return len(text).to_bytes(8, "little") + text + whole[: tensors * size]


def big_model(seed, megabytes):
    return weights(seed, 2048, 2048, max(1, megabytes // 8), 4)


def small_model(seed):
    return weights(seed, 64, 128, 4)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ---- the daemon ----


class Gone(Exception):
    """The daemon did not answer: whether it did what was asked is not known."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def slug(self):
        """Of a problem: the last part of its type."""
        try:
            return self.json()["type"].rsplit("/", 1)[1]
        except (ValueError, KeyError, TypeError):
            return None

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Daemon:
    """One life of compressd on a data directory."""

    def __init__(self, data, *flags, log):
        self.data = Path(data)
        began = time.monotonic()
        with open(log, "ab") as err:
            self.process = subprocess.Popen(
                [program(), "serve", "--data", str(data), "--listen", "127.0.0.1:0", *flags],
                stdout=subprocess.PIPE, stderr=err, preexec_fn=no_core)
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening on http://(\S+):(\d+)", line)
        if not match:
            raise RuntimeError(f"the daemon did not start: {line!r}, exit {self.process.wait()}")
        self.host, self.port = match.group(1), int(match.group(2))
        self.start_s = time.monotonic() - began

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait()

    def stop(self, timeout=60):
        """Its exit status; kills what does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return "it did not stop"

    def request(self, method, path, body=None, headers=None, timeout=SLOWEST_S):
        """One request on a connection of its own. body: bytes, an iterable of chunks, or a value
        that is sent as JSON. A large one is sent when the daemon has asked for it, so that a
        refusal can be read. Gone when no whole answer came."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        chunks = [] if body is None else [body] if isinstance(body, bytes) else body
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.putrequest(method, path)
            if isinstance(body, bytes):
                headers["Content-Length"] = str(len(body))
            elif body is not None:
                headers["Transfer-Encoding"] = "chunked"
            ask = body is not None and (not isinstance(body, bytes) or len(body) > ASK_BYTES)
            if ask:
                headers["Expect"] = "100-continue"
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            if not ask or connection.sock.recv(12, socket.MSG_PEEK)[9:] == b"100":
                send(connection, chunks, "Transfer-Encoding" in headers)
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        except (OSError, http.client.HTTPException) as error:
            raise Gone(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()


def send(connection, chunks, chunked):
    """When the other side has had enough its answer may still be there to be read."""
    try:
        for chunk in chunks:
            connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
        if chunked:
            connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass


def program():
    return os.environ.get("COMPRESSD") or shutil.which("compressd")


# ---- the rig ----


class Rig:
    def __init__(self, name, *flags):
        seed = number("FAULT_SEED", random.SystemRandom().randrange(1 << 32))
        print(f"# FAULT_SEED={seed}", flush=True)
        self.rng = random.Random(seed)
        self.flags = flags
        self.passed = self.failed = 0
        self.lock = threading.Lock()
        self.dir = Path(tempfile.mkdtemp(prefix=f"compressd-{name}-"))
        self.data = self.dir / "data"
        self.log = self.dir / "daemon.log"
        self.daemon = None

    def start(self, data=None):
        self.daemon = Daemon(data or self.data, *self.flags, log=self.log)
        return self.daemon

    # -- facts --

    def check(self, fact, text, more=""):
        with self.lock:
            if fact:
                self.passed += 1
                print(f"ok - {text}", flush=True)
            else:
                self.failed += 1
                print(f"not ok - {text}{': ' if more != '' else ''}{more}", flush=True)
        return bool(fact)

    def equal(self, got, wanted, text):
        return self.check(got == wanted, text, f"wanted {wanted!r}, got {got!r}")

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def done(self):
        if self.daemon:
            self.check(self.daemon.alive(), "the daemon is alive at the end", self.said()[-2000:])
            self.equal(self.daemon.stop(), 0, "the daemon stops cleanly")
        said = self.said()
        self.check("Sanitizer" not in said and "runtime error" not in said,
                   "no sanitizer spoke", said[-4000:])
        if os.environ.get("FAULT_KEEP") or self.failed:
            print(f"# kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0

    # -- the usual steps --

    def request(self, *arguments, **options):
        return self.daemon.request(*arguments, **options)

    def upload(self, name, data):
        answer = self.request("PUT", f"/v1/models/{name}", data)
        self.check(answer.status in (200, 201), f"the model {name} is taken in", answer)

    def submit(self, model, recipe, **more):
        answer = self.request("POST", "/v1/jobs", {"model": model, "recipe": recipe, **more})
        self.equal(answer.status, 201, f"{model} is submitted with {recipe}")
        return answer.json()["id"]

    def job(self, job):
        return self.request("GET", f"/v1/jobs/{job}").json()

    def until(self, job, fact, seconds=SLOWEST_S):
        """The job as soon as fact(job); RuntimeError when that takes too long."""
        end = time.monotonic() + seconds
        now = self.job(job)
        while not fact(now):
            if time.monotonic() > end:
                raise RuntimeError(f"the job stays {now}")
            time.sleep(0.005)
            now = self.job(job)
        return now

    def over(self, job, seconds=SLOWEST_S):
        """The job when it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.request("GET", f"/v1/jobs/{job}?wait=10").json()
            if now["state"] in TERMINAL:
                return now
        raise RuntimeError(f"the job does not end: {now}")

    def artifact(self, job):
        """SHA-256 of what is really sent."""
        answer = self.request("GET", f"/v1/jobs/{job}/artifact")
        return sha256(answer.body) if answer.status == 200 else repr(answer)

    def undisturbed(self, models, recipes):
        """(model, recipe) → (SHA-256 of the artifact, seconds), from a daemon nobody disturbs.
        models: name → bytes."""
        self.start(self.dir / "undisturbed")
        for name, data in models.items():
            self.upload(name, data)
        wanted = {}
        for model, recipe in recipes:
            job = self.submit(model, recipe)
            began = time.monotonic()
            self.equal(self.over(job)["state"], "succeeded", f"undisturbed: {model} to {recipe}")
            seconds = time.monotonic() - began
            wanted[model, recipe] = self.artifact(job), seconds
        self.equal(self.daemon.stop(), 0, "the undisturbed daemon stops cleanly")
        self.daemon = None
        shutil.rmtree(self.dir / "undisturbed")
        return wanted

    # -- what lies on the disk --

    def query(self, sql):
        with sqlite3.connect(f"file:{self.data}/compressd.db?mode=ro", uri=True) as db:
            rows = db.execute(sql).fetchall()
        db.close()
        return rows

    def staging(self):
        return sorted(p.name for p in (self.data / "staging").iterdir())

    def staging_empties(self, text, seconds=3):
        end = time.monotonic() + seconds
        while self.staging() and time.monotonic() < end:
            time.sleep(0.02)
        return self.equal(self.staging(), [], text)

    def files_and_rows(self):
        """(files without a row, rows without a file). A job that ends just now moves its file
        before its row is committed, so only what stays for two seconds is a finding."""
        end = time.monotonic() + 2
        while True:
            before = self.blob_files()
            rows = dict(self.query("SELECT digest, bytes FROM blob"))
            after = self.blob_files()
            strays = {f for f in before if f not in rows}
            missing = {d for d, size in rows.items() if after.get(d) != size}
            if not strays and not missing or time.monotonic() > end:
                return sorted(strays), sorted(missing)
            time.sleep(0.1)

    def blob_files(self):
        return {p.name: p.stat().st_size for p in (self.data / "blobs").glob("*/*/*")}

    def rows_match_files(self, text):
        strays, missing = self.files_and_rows()
        self.check(not strays and not missing, f"{text}: every file has its row, every row its file",
                   f"files without a row {strays}, rows without a file {missing}")


def main(name, flags, *parts):
    """A whole program: the parts in order on one rig; the first that raises ends it."""
    rig = Rig(name, *flags)
    for part in parts:
        try:
            part(rig)
        except Exception:
            rig.check(False, part.__name__, traceback.format_exc())
            break
    sys.exit(rig.done())
