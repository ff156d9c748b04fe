"""Blobs: content-addressed uploads and downloads."""
import base64
import contextlib
import hashlib
import os
import sqlite3
import time

from harness import main


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def headers_of_content(s, r, data):
    s.equal(r.headers["etag"], f'"{digest_of(data)}"', "the entity tag is the digest")
    raw = base64.b64encode(hashlib.sha256(data).digest()).decode()
    s.equal(r.headers["repr-digest"], f"sha-256=:{raw}:", "Repr-Digest as in RFC 9530")
    s.equal(r.headers["accept-ranges"], "bytes", "ranges are offered")
    s.equal(r.headers["x-content-type-options"], "nosniff", "nothing is sniffed")
    s.check(r.headers["content-disposition"].startswith("attachment"), "it is an attachment")


def upload(s):
    data = os.urandom(3_000_000)
    path = f"/v1/blobs/{digest_of(data)}"
    s.refused(s.get(path), 404, "not-found", "not there yet")
    r = s.put(path, data)
    s.equal((r.status, r.json()["bytes"], r.json()["digest"]), (201, len(data), digest_of(data)),
            "stored")
    s.equal(r.headers["location"], path, "and its address told")
    s.equal(s.put(path, data).status, 200, "already here")
    s.equal(s.put(path, data, headers={"Expect": ""}).status, 200, "already here, all sent again")
    s.equal(s.put(path, data, headers={"Transfer-Encoding": "chunked"}).status, 200, "chunked too")
    r = s.get(path)
    s.equal((r.status, r.body), (200, data), "the bytes come back")
    headers_of_content(s, r, data)
    r = s.curl("HEAD", path)
    s.equal((r.status, r.headers["content-length"]), (200, str(len(data))), "HEAD tells the length")
    headers_of_content(s, r, data)
    empty = b""
    s.equal(s.put(f"/v1/blobs/{digest_of(empty)}", empty).status, 201, "nothing is a blob too")
    s.equal(s.get(f"/v1/blobs/{digest_of(empty)}").body, empty, "and comes back")
    upper = "sha256:" + digest_of(data)[7:].upper()
    s.equal(s.get(f"/v1/blobs/{upper}").status, 200, "hex digits in upper case are the same")


def conditions(s):
    data = b"0123456789" * 1000
    path, tag = f"/v1/blobs/{digest_of(data)}", f'"{digest_of(data)}"'
    s.put(path, data)
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        r = s.get(path, headers={"If-None-Match": header})
        s.equal((r.status, r.body), (304, b""), f"If-None-Match {header[:12]}: not modified")
    s.equal(s.get(path, headers={"If-None-Match": '"x"'}).status, 200, "another tag: modified")
    for spec, want in [("0-0", data[:1]), ("10-19", data[10:20]), ("9990-", data[9990:]),
                       ("-7", data[-7:]), ("-99999", data), ("5-99999", data[5:])]:
        r = s.get(path, headers={"Range": f"bytes={spec}"})
        first = len(data) - len(want) if spec.startswith("-") else int(spec.split("-")[0])
        s.equal((r.status, r.body), (206, want), f"range {spec}")
        s.equal(r.headers["content-range"], f"bytes {first}-{first + len(want) - 1}/{len(data)}",
                f"range {spec} is described")
        headers_of_content(s, r, data)
    for spec in ("0-1,3-4", "5-2", "x-y", "", "1-2-3"):
        r = s.get(path, headers={"Range": f"bytes={spec}"})
        s.equal((r.status, len(r.body)), (200, len(data)), f"range {spec!r}: the whole")
    s.equal(s.get(path, headers={"Range": "lines=1-2"}).status, 200, "another unit: the whole")
    for spec in ("10000-", "99999-100000", "-0"):
        r = s.get(path, headers={"Range": f"bytes={spec}"})
        s.refused(r, 416, "range-not-satisfiable", f"range {spec} lies outside")
        s.equal(r.headers.get("content-range"), f"bytes */{len(data)}", "and the size is told")
    r = s.get(path, headers={"Range": "bytes=0-4", "If-Range": tag})
    s.equal(r.status, 206, "If-Range with the tag: the range")
    for other in ('"other"', f"W/{tag}", "Tue, 01 Jan 2030 00:00:00 GMT"):
        r = s.get(path, headers={"Range": "bytes=0-4", "If-Range": other})
        s.equal((r.status, len(r.body)), (200, len(data)), f"If-Range {other[:9]}: the whole")
    s.equal(s.get(path, headers={"Range": "bytes=0-4", "If-None-Match": tag}).status, 304,
            "If-None-Match goes before Range")


def refusals(s):
    data = os.urandom(100_000)
    other = f"/v1/blobs/{digest_of(b'other')}"
    p = s.refused(s.put(other, data), 422, "digest-mismatch", "other bytes than the address says")
    s.check(digest_of(data) in p["detail"], "what came is told", p)
    s.refused(s.get(other), 404, "not-found", "nothing of it is kept")
    s.staging_empties("nothing is left in staging")
    for bad in ("sha256:abc", "md5:" + "0" * 32, "sha256:" + "g" * 64, "0" * 64):
        s.refused(s.put(f"/v1/blobs/{bad}", data), 400, "malformed-request", f"{bad[:12]} is no digest")
        s.refused(s.get(f"/v1/blobs/{bad}"), 404, "not-found", f"{bad[:12]} is nowhere")
    r = s.raw(b"PUT " + other.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", whole=False)
    s.check(r.startswith(b"HTTP/1.1 411"), "no length and no chunks: length required", r[:200])
    # A client that goes away in the middle.
    import socket
    with socket.create_connection((s.daemon.host, s.daemon.port)) as c:
        c.sendall(b"PUT " + other.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Length: 5000000\r\n\r\n" + data)
    s.staging_empties("an upload broken off leaves nothing in staging")


def leases(s):
    """Who is told that a blob is here may rely on it for a day."""
    data = os.urandom(10_000)
    digest = digest_of(data)
    path = f"/v1/blobs/{digest}"
    s.put(path, data)

    def lease(set_ms=None):
        with contextlib.closing(sqlite3.connect(s.daemon.data / "compressd.db", timeout=10)) as db:
            if set_ms:
                db.execute("UPDATE blob SET lease_until_ms = ? WHERE digest = ?",
                           (set_ms, digest[7:]))
                db.commit()
            row = db.execute("SELECT lease_until_ms FROM blob WHERE digest = ?", (digest[7:],))
            return row.fetchone()[0]

    hour = 3600_000
    fresh = lease()
    s.equal(s.curl("HEAD", path).status, 200, "a fresh blob is here")
    s.equal(lease(), fresh, "its lease needs no renewal")
    for ask in (lambda: s.curl("HEAD", path), lambda: s.get(path),
                lambda: s.put(path, data, headers={"Expect": "100-continue"})):
        lease(time.time_ns() // 1_000_000 + hour)
        s.equal(ask().status, 200, "one whose lease runs out soon is here")
        s.check(lease() >= fresh, "and its lease was renewed before that was said")


main("blobs", [], upload, conditions, refusals, leases)
