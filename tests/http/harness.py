"""What every HTTP test shares: a daemon of its own, curl, and a judge.

A test program makes one Suite, states facts with check() and ends with
sys.exit(suite.done()).  Each check prints "ok - ..." or "not ok - ...", the
last line is "N passed, N failed".  Every answer that curl brings is held
against /openapi.json: status, media type, schema.  done() stops the daemon
and fails when it did not end well.

Environment:
    COMPRESSD   the daemon under test
    HTTP_KEEP   keep the data directory, and say where it is
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import jsonschema

CONNECT_TIMEOUT_S = 20


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # lower-case names; the last of equal ones
        self.body = body

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


def parse_head(text):
    """The last block of headers of what curl -D wrote (an interim 100 comes before)."""
    block = [b for b in text.decode("latin-1").split("\r\n\r\n") if b.strip()][-1]
    lines = block.split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(lines[0].split()[1]), headers


class Judge:
    """Holds answers against the OpenAPI document of the daemon that gave them."""

    def __init__(self, document):
        self.document = document
        self.paths = []
        for pattern, item in document["paths"].items():
            regex = re.escape(pattern).replace(r"\{path\}", ".+")
            regex = re.sub(r"\\\{[a-z]+\\\}", "[^/]+", regex)
            self.paths.append((re.compile(regex + r"\Z"), pattern, item))
        self.paths.sort(key=lambda p: p[1].count("{"))
        self.seen = set()  # (method, pattern, status)

    def schema_errors(self, schema, value):
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema.Draft202012Validator(whole)
        return [
            f"{'/'.join(str(p) for p in e.absolute_path)}: {e.message[:200]}"
            for e in validator.iter_errors(value)
        ]

    def operation(self, method, path):
        method = "get" if method == "HEAD" else method.lower()
        for regex, pattern, item in self.paths:
            if regex.match(path) and method in item:
                return pattern, item[method]
        return None, None

    def errors(self, method, path, response):
        path = path.split("?")[0]
        media = response.headers.get("content-type", "").split(";")[0].strip()
        if response.status >= 400 and method != "HEAD":
            if media != "application/problem+json":
                return [f"{response.status} is {media or 'nothing'}, not a problem"]
            problem = response.json()
            found = self.schema_errors({"$ref": "#/components/schemas/Problem"}, problem)
            if problem.get("status") != response.status:
                found.append("the problem states another status")
            if problem.get("request_id") != response.headers.get("x-request-id"):
                found.append("the problem states another request id")
            if found:
                return found
        pattern, operation = self.operation(method, path)
        if operation is None:
            return [] if response.status in (400, 404, 405, 421, 503) else ["undocumented"]
        self.seen.add((method, pattern, response.status))
        declared = operation["responses"].get(str(response.status))
        if declared is None:
            return [f"{method} {pattern}: status {response.status} is not documented"]
        content = declared.get("content")
        if not content:
            return ["a body where none is documented"] if response.body else []
        if method == "HEAD":
            return []
        row = content.get(media, content.get("*/*"))
        if row is None:
            return [f"{method} {pattern}: media type {media} is not documented"]
        if "schema" not in row:
            return []
        if media == "application/x-ndjson":
            lines = [line for line in response.body.decode().split("\n") if line.strip()]
            return [e for line in lines for e in self.schema_errors(row["schema"], json.loads(line))]
        return self.schema_errors(row["schema"], response.json())

    def request_errors(self, method, path, value):
        _, operation = self.operation(method, path.split("?")[0])
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        return self.schema_errors(schema, value)


class Daemon:
    def __init__(self, data, *flags):
        program = os.environ.get("COMPRESSD") or shutil.which("compressd")
        self.data = Path(data)
        self.log = open(self.data.parent / "daemon.log", "ab")
        self.process = subprocess.Popen(
            [program, "serve", "--data", str(data), "--listen", "127.0.0.1:0", *flags],
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening on (http://(\S+):(\d+))", line)
        if not match:
            self.process.wait()
            raise RuntimeError(f"the daemon did not start: {line!r} {self.said()}")
        self.url, self.host, self.port = match.group(1), match.group(2), int(match.group(3))

    def said(self):
        return (self.data.parent / "daemon.log").read_text(errors="replace")[-2000:]

    def alive(self):
        return self.process.poll() is None

    def stop(self, timeout=30):
        """Its exit status; kills what does not end."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "it did not stop"


class Suite:
    def __init__(self, name, *flags):
        self.name = name
        self.flags = flags
        self.passed = 0
        self.failed = 0
        self.dir = Path(tempfile.mkdtemp(prefix=f"compressd-{name}-"))
        self.lock = threading.Lock()
        self.daemon = None
        self.judge = None
        self.start()

    # -- the daemon --

    def start(self):
        self.daemon = Daemon(self.dir / "data", *self.flags)
        document = self.curl("GET", "/openapi.json", judged=False)
        seen = self.judge.seen if self.judge else set()
        self.judge = Judge(document.json())
        self.judge.seen = seen

    def restart(self):
        self.equal(self.daemon.stop(), 0, "the daemon stops cleanly")
        self.start()

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

    @contextlib.contextmanager
    def section(self, title):
        try:
            yield
        except Exception:
            self.check(False, title, traceback.format_exc())

    def done(self):
        if self.daemon:
            self.check(self.daemon.alive(), "the daemon is alive at the end", self.daemon.said())
            self.equal(self.daemon.stop(), 0, "the daemon stops cleanly")
            said = self.daemon.said()
            self.check("Sanitizer" not in said and "runtime error" not in said,
                       "no sanitizer spoke", said)
        if os.environ.get("HTTP_KEEP") or self.failed:
            print(f"# kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0

    # -- requests --

    def curl(self, method, path, *arguments, json_body=None, data=None, headers=None,
             judged=True, timeout=60):
        """One request by curl. data: bytes or a Path. judged: hold it against /openapi.json."""
        with tempfile.TemporaryDirectory(dir=self.dir) as scratch:
            head, body = Path(scratch, "head"), Path(scratch, "body")
            command = ["curl", "-sS", "-m", str(timeout), "-D", str(head), "-o", str(body)]
            command += ["-I"] if method == "HEAD" else ["-X", method]
            for name, value in (headers or {}).items():
                command += ["-H", f"{name}: {value}" if value is not None else f"{name}:"]
            if json_body is not None:
                data = json_body if isinstance(json_body, bytes) else json.dumps(json_body).encode()
                if not any(n.lower() == "content-type" for n in headers or {}):
                    command += ["-H", "Content-Type: application/json"]
            if data is not None:
                source = data
                if isinstance(data, bytes):
                    source = Path(scratch, "data")
                    source.write_bytes(data)
                if isinstance(data, Path) or len(data) > 100000:
                    command += ["-T", str(source)]
                else:
                    command += ["--data-binary", f"@{source}"]
                    if not any(n.lower() == "content-type" for n in headers or {}) and (
                        json_body is None
                    ):
                        command += ["-H", "Content-Type: application/octet-stream"]
            command += [*arguments, "--path-as-is", self.daemon.url + path]
            result = subprocess.run(command, capture_output=True, timeout=timeout + 10)
            if not head.exists() or not head.stat().st_size:
                return Response(0, {}, result.stderr)
            status, found = parse_head(head.read_bytes())
            response = Response(status, found, body.read_bytes() if body.exists() else b"")
        if method == "HEAD":
            response.body = b""
        if judged and self.judge:
            errors = self.judge.errors(method, path, response)
            self.check(not errors, f"{method} {path} answers {status} as documented",
                       f"{errors} {response}")
            if json_body is not None and 200 <= status < 300 and not isinstance(json_body, bytes):
                errors = self.judge.request_errors(method, path, json_body)
                self.check(not errors, f"{method} {path} takes what is documented", errors)
        return response

    def get(self, path, *arguments, **options):
        return self.curl("GET", path, *arguments, **options)

    def put(self, path, data, *arguments, **options):
        return self.curl("PUT", path, *arguments, data=data, **options)

    def post(self, path, json_body=None, *arguments, **options):
        return self.curl("POST", path, *arguments, json_body=json_body, **options)

    def raw(self, data, timeout=10, whole=True):
        """Bytes to the daemon, bytes back until it closes (or until the answer's head)."""
        out = b""
        with socket.create_connection((self.daemon.host, self.daemon.port), timeout=timeout) as s:
            s.settimeout(timeout)
            with contextlib.suppress(OSError):
                s.sendall(data)
                while whole or b"\r\n\r\n" not in out:
                    part = s.recv(65536)
                    if not part:
                        break
                    out += part
        return out

    def refused(self, response, status, slug, text):
        """A problem of this status and type; returns it."""
        ok = response.status == status and response.slug() == slug
        self.check(ok, text, f"wanted {status} {slug}, got {response}")
        return response.json() if ok else {"errors": [], "detail": ""}

    # -- the usual steps --

    def upload(self, name, data, path=""):
        r = self.put(f"/v1/models/{name}{path}", data)
        self.check(r.status in (200, 201), f"the model {name} is taken in", r)
        return r

    def submit(self, model, recipe, **more):
        r = self.post("/v1/jobs", {"model": model, "recipe": recipe, **more})
        self.equal(r.status, 201, f"{model} is submitted with {recipe}")
        return r.json()

    def wait(self, job, seconds=60):
        """The job when it is over."""
        until = time.time() + seconds
        while time.time() < until:
            r = self.get(f"/v1/jobs/{job}?wait=10", judged=False)
            if r.status == 200 and r.json()["state"] in ("succeeded", "failed", "cancelled"):
                errors = self.judge.errors("GET", f"/v1/jobs/{job}", r)
                self.check(not errors, "the finished job is as documented", errors)
                return r.json()
        raise RuntimeError(f"job {job} did not end in {seconds} s")

    def staging(self):
        return sorted(p.name for p in (self.daemon.data / "staging").iterdir())

    def staging_empties(self, text, seconds=3):
        until = time.time() + seconds
        while self.staging() and time.time() < until:
            time.sleep(0.05)
        return self.equal(self.staging(), [], text)


def main(suite_name, flags, *parts):
    suite = Suite(suite_name, *flags)
    for part in parts:
        with suite.section(part.__name__):
            part(suite)
    sys.exit(suite.done())
