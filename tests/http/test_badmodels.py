"""Bad input gets a clear answer, and nothing is lost: a good model goes in before and after each."""
import io
import json
import struct
import tarfile

import tiny
from harness import main

TAR = {"Content-Type": "application/x-tar"}


class Good:
    """Takes in a good model, looks at a bad one's refusal, takes in a good one again."""

    def __init__(self, suite):
        self.s = suite
        self.n = 0

    def good(self):
        self.n += 1
        self.s.upload(f"good{self.n}", tiny.model(rows=32, layers=1, seed=self.n))

    def bad(self, data, slugs, text, headers=None, status=422):
        self.good()
        r = self.s.put("/v1/models/bad", data, headers=headers or {})
        self.s.check(r.status == (413 if r.slug() == "over-limit" else status) and r.slug() in slugs, f"{text}: refused",
                     f"wanted {slugs}, got {r}")
        self.s.refused(self.s.get("/v1/models/bad"), 404, "not-found", f"{text}: nothing is named")
        self.s.staging_empties(f"{text}: staging is empty")
        self.good()
        return r.json() if r.status >= 400 else {"errors": [{}], "detail": ""}


def header(tensors, data=b"", length=None):
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors(s):
    g = Good(s)
    f32 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    whole = tiny.model()
    model = ["malformed-model", "unknown-format", "over-limit", "unsupported"]
    for data, text in [
        (b"", "an empty file"),
        (b"\x05", "one byte"),
        (whole[:7], "a cut length"),
        (whole[:100], "a cut header"),
        (whole[:-1], "the last byte missing"),
        (whole + b"x", "a byte too many"),
        (header({}, length=2**63), "a header of 2^63 bytes"),
        (header({}, length=100_000_000), "a header of 100 MB"),
        (header(b"{" * 100), "a header of braces"),
        (header({"a": f32}, bytes(15)), "data too short"),
        (header({"a": {**f32, "data_offsets": [0, 1 << 40]}}, bytes(16)), "an end past the end"),
        (header({"a": {**f32, "data_offsets": [16, 0]}}, bytes(16)), "an end before the start"),
        (header({"a": {**f32, "data_offsets": [4, 20]}}, bytes(20)), "a gap at the front"),
        (header({"a": f32, "b": {**f32, "data_offsets": [8, 24]}}, bytes(24)), "an overlap"),
        (header({"a": {**f32, "shape": [1 << 33, 1 << 33]}}, bytes(16)), "an endless shape"),
        (header({"a": {**f32, "shape": [-2, -2]}}, bytes(16)), "a negative shape"),
        (header({"a": {**f32, "dtype": "F33"}}, bytes(16)), "an unknown dtype"),
        (header(b'{"a":' + json.dumps(f32).encode() + b',"a":' + json.dumps(f32).encode() + b"}",
                bytes(16)), "a name twice"),
        (header({"a\0b": f32}, bytes(16)), "a NUL in a name"),
    ]:
        p = g.bad(data, model, text)
        s.check(p["detail"], f"{text}: it is said why", p)


def others(s):
    g = Good(s)
    for data, slugs, text in [
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 0), ["malformed-model", "over-limit"],
         "a GGUF of 2^63 tensors"),
        (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), ["malformed-model", "unsupported"], "GGUF 9"),
        (b"GGUF", ["malformed-model"], "a cut GGUF"),
        (b"PK\3\4" + bytes(100), ["malformed-model", "unknown-format", "malformed-archive"],
         "a broken zip"),
        (b"hello, world\n" * 100, ["unknown-format", "malformed-model", "over-limit"], "prose"),
    ]:
        g.bad(data, slugs, text)


def tars(s):
    g = Good(s)
    folder = tiny.folder()
    archive = ["malformed-archive"]
    p = g.bad(tiny.tar({**folder, "../evil": b"x"}), archive, "a tar with ..", TAR)
    s.check("evil" in json.dumps(p), "the entry is named", p)
    g.bad(tiny.tar({**folder, "a/../../evil": b"x"}), archive, "a tar with .. inside", TAR)
    g.bad(tiny.tar({**folder, "/etc/evil": b"x"}), archive, "a tar with an absolute path", TAR)
    g.bad(tiny.tar({**folder, "link": None}), archive, "a tar with a symbolic link", TAR)
    g.bad(tiny.tar({**folder, "link": None}, kind=tarfile.LNKTYPE, link="config.json"), archive,
          "a tar with a hard link", TAR)
    for kind, text in [(tarfile.CHRTYPE, "a device"), (tarfile.FIFOTYPE, "a pipe")]:
        g.bad(tiny.tar({**folder, "thing": None}, kind=kind), archive, f"a tar with {text}", TAR)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for _ in range(2):
            for path, data in folder.items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    g.bad(out.getvalue(), archive, "a tar with paths twice", TAR)
    g.bad(tiny.tar({**folder, "CONFIG.json": b"{}"}), archive, "a tar with paths alike", TAR)
    g.bad(tiny.tar(folder)[:50_000], archive, "a cut tar", TAR)
    g.bad(b"\xff" * 10_000, archive, "no tar at all", TAR)
    g.bad(b"", archive + ["unknown-format", "malformed-model"], "an empty tar", TAR)
    g.bad(tiny.tar({"a.txt": b"x"}), ["unknown-format", "malformed-model"], "a tar without a model",
          TAR)
    # Compressed ones are not unpacked.
    import gzip
    g.bad(gzip.compress(tiny.tar(folder)), archive, "a compressed tar", TAR)


def million(s):
    """A million entries, made as they are sent; refused long before the end."""
    g = Good(s)
    g.good()
    import socket
    block = tarfile.TarInfo("e").tobuf()
    with socket.create_connection((s.daemon.host, s.daemon.port), timeout=30) as c:
        c.sendall(b"PUT /v1/models/bad HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  b"application/x-tar\r\nContent-Length: %d\r\n\r\n" % (512 * 1_000_000))
        sent = 0
        try:
            for i in range(1_000_000 // 64):
                c.sendall(b"".join(tiny_entry(block, 64 * i + k) for k in range(64)))
                sent += 64
        except OSError:
            pass
    s.check(sent < 200_000, "a million entries: cut off early", sent)
    s.refused(s.get("/v1/models/bad"), 404, "not-found", "a million entries: nothing is named")
    s.staging_empties("a million entries: staging is empty")
    entries = b"".join(tiny_entry(block, i) for i in range(5000)) + bytes(1024)
    r = s.put("/v1/models/bad", entries, headers=TAR, judged=False)
    s.check(r.status in (413, 422, 0, 100), "five thousand entries: refused", r)
    s.staging_empties("five thousand entries: staging is empty")
    g.good()


def tiny_entry(block, i):
    """The header of an empty file e<number>, its checksum made anew."""
    name = b"e%07d" % i
    head = bytearray(block)
    head[: len(name)] = name
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


main("badmodels", [], safetensors, others, tars, million)
