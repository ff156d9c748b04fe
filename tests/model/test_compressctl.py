#!/usr/bin/env python3
"""compressctl on the default model, as a user would run it.

usage: test_compressctl.py COMPRESSCTL MODEL_FOLDER

Every preset; the folder comes back whole and the report says what lies there; the weights are
decoded again by a reader written here, from the format's definition alone; every way of failing
has its exit code and leaves nothing behind. Only the standard library is used.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

CTL, MODEL = sys.argv[1:3]
MODEL = Path(MODEL)
PRESETS = ["f16", "bf16", "fp8", "int8", "w8a8", "int4-g128"]
LINEAR = "model.layers.0.self_attn.q_proj"


def ctl(*args, **kwargs):
    return subprocess.run([CTL, *map(str, args)], capture_output=True, text=True, **kwargs)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Safetensors:
    """One file, read from its definition."""

    def __init__(self, path):
        self.data = path.read_bytes()
        (n,) = struct.unpack_from("<Q", self.data)
        self.header = json.loads(self.data[8 : 8 + n])
        self.start = 8 + n

    def raw(self, name):
        begin, end = self.header[name]["data_offsets"]
        return self.data[self.start + begin : self.start + end]

    def shape(self, name):
        return self.header[name]["shape"]


def bf16(raw):
    return struct.unpack(f"<{len(raw) // 2}f", b"".join(b"\0\0" + raw[i : i + 2] for i in range(0, len(raw), 2)))


def e4m3(byte):
    sign = -1.0 if byte & 0x80 else 1.0
    exponent, mantissa = byte >> 3 & 15, byte & 7
    if exponent == 0:
        return sign * mantissa * 2.0**-9
    return sign * (1 + mantissa / 8) * 2.0 ** (exponent - 7)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="compressd-model-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def left(self):
        return sorted(p.name for p in self.dir.iterdir())

    def compress(self, recipe, name, *more, code=0):
        out = self.dir / name
        report = self.dir / f"{name}.json"
        done = ctl("compress", MODEL, "-r", recipe, "-o", out, "--report", report, *more)
        self.assertEqual(done.returncode, code, done.stderr)
        return out, json.loads(report.read_text())


class Presets(Case):
    def test_folders_come_back_whole(self):
        for preset in PRESETS:
            with self.subTest(preset):
                out, report = self.compress(preset, preset)
                files = {f["path"]: f for f in report["files"]}
                found = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
                self.assertEqual(set(files), found)
                for path, f in files.items():
                    self.assertEqual((out / path).stat().st_size, f["bytes"])
                    self.assertEqual(sha256(out / path), f["sha256"])
                self.assertEqual(report["size"]["bytes_out"], sum(f["bytes"] for f in files.values()))
                for name in ("tokenizer.json", "generation_config.json"):
                    if (MODEL / name).exists():
                        self.assertEqual((out / name).read_bytes(), (MODEL / name).read_bytes())
                config = json.loads((out / "config.json").read_text())
                floats = preset in ("f16", "bf16")
                self.assertEqual("quantization_config" in config, not floats)
                for stage in report["stages"]:
                    self.assertLessEqual(stage["peak_bytes"], stage["predicted_bytes"])

    def test_threads_do_not_matter(self):
        for preset in ("int8", "int4-g128", "fp8"):
            digests = set()
            for threads in (1, 2, 5):
                _, report = self.compress(preset, f"{preset}-{threads}", "--threads", threads)
                digests.add(tuple(f["sha256"] for f in report["files"]))
            self.assertEqual(len(digests), 1)

    def test_inspect_knows_its_own(self):
        out, _ = self.compress("int4-g128", "out")
        seen = json.loads(ctl("inspect", out, "--json", "--tensors").stdout)
        source = json.loads(ctl("inspect", MODEL, "--json", "--tensors").stdout)
        self.assertEqual(seen["parameters"], source["parameters"])
        self.assertEqual([t["name"] for t in seen["tensors"]], [t["name"] for t in source["tensors"]])
        self.assertIn("int4 group 128 symmetric", seen["dtypes"])
        self.assertIsNotNone(seen["quantization"])


class Weights(Case):
    """First rows of one matrix, decoded here."""

    ROWS = 16

    def setUp(self):
        super().setUp()
        source = Safetensors(MODEL / "model.safetensors")
        name = LINEAR + ".weight"
        self.cols = source.shape(name)[1]
        values = bf16(source.raw(name)[: 2 * self.ROWS * self.cols])
        self.rows = [values[i * self.cols : (i + 1) * self.cols] for i in range(self.ROWS)]

    def close(self, row, decoded, allowed):
        self.assertLessEqual(max(abs(a - b) for a, b in zip(row, decoded)), allowed)
        self.assertTrue(any(decoded))

    def test_int8(self):
        out, _ = self.compress("int8", "out")
        st = Safetensors(out / "model.safetensors")
        packed, scales = st.raw(LINEAR + ".weight_packed"), bf16(st.raw(LINEAR + ".weight_scale"))
        self.assertEqual(struct.unpack("<2q", st.raw(LINEAR + ".weight_shape")), tuple(st_shape(self)))
        for r, row in enumerate(self.rows):
            codes = packed[r * self.cols : (r + 1) * self.cols]
            self.close(row, [(c - 128) * scales[r] for c in codes], scales[r] * 0.75)

    def test_w8a8(self):
        out, _ = self.compress("w8a8", "out")
        st = Safetensors(out / "model.safetensors")
        codes, scales = st.raw(LINEAR + ".weight"), bf16(st.raw(LINEAR + ".weight_scale"))
        signed = struct.unpack(f"<{self.ROWS * self.cols}b", codes[: self.ROWS * self.cols])
        for r, row in enumerate(self.rows):
            part = signed[r * self.cols : (r + 1) * self.cols]
            self.close(row, [c * scales[r] for c in part], scales[r] * 0.75)

    def test_int4(self):
        out, _ = self.compress("int4-g128", "out")
        st = Safetensors(out / "model.safetensors")
        packed, scales = st.raw(LINEAR + ".weight_packed"), bf16(st.raw(LINEAR + ".weight_scale"))
        groups = self.cols // 128
        for r, row in enumerate(self.rows):
            line = packed[r * self.cols // 2 : (r + 1) * self.cols // 2]
            codes = [n for b in line for n in (b & 15, b >> 4)]
            decoded = [(c - 8) * scales[r * groups + i // 128] for i, c in enumerate(codes)]
            self.close(row, decoded, max(map(abs, row)) * 0.5)
            noise = sum((a - b) ** 2 for a, b in zip(row, decoded))
            self.assertLess(noise, 0.05 * sum(a * a for a in row))

    def test_fp8(self):
        out, _ = self.compress("fp8", "out")
        st = Safetensors(out / "model.safetensors")
        codes, scales = st.raw(LINEAR + ".weight"), bf16(st.raw(LINEAR + ".weight_scale"))
        for r, row in enumerate(self.rows):
            part = codes[r * self.cols : (r + 1) * self.cols]
            self.close(row, [e4m3(c) * scales[r] for c in part], max(map(abs, row)) / 24)

    def test_attention_kept_at_16_bits(self):
        recipe = {
            "stages": [
                {"pass": "quantize", "scheme": "int8", "keep": [{"match": "role:attn", "scheme": "f16"}]}
            ]
        }
        out, report = self.compress(json.dumps(recipe), "out")
        st = Safetensors(out / "model.safetensors")
        halves = st.raw(LINEAR + ".weight")[: 2 * self.cols]
        self.close(self.rows[0], struct.unpack(f"<{self.cols}e", halves), 1e-4)
        schemes = {t["name"]: t["scheme"] for t in report["tensors"]}
        self.assertEqual(schemes[LINEAR + ".weight"], "f16")
        self.assertEqual(schemes["model.layers.0.mlp.up_proj.weight"], "int8 channel symmetric")


def st_shape(case):
    return Safetensors(MODEL / "model.safetensors").shape(LINEAR + ".weight")


class Refusals(Case):
    def refused(self, code, says, *args):
        done = ctl(*args)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(self.left(), [])

    def test_usage(self):
        out = self.dir / "out"
        self.refused(2, "there is no verb", "bake")
        self.refused(2, "needs --recipe", "compress", MODEL, "-o", out)
        self.refused(2, "no option", "compress", MODEL, "-r", "int8", "-o", out, "--fast")
        self.refused(2, "whole number", "compress", MODEL, "-r", "int8", "-o", out, "-t", "0")

    def test_before_work(self):
        out = self.dir / "out"
        self.refused(3, "nearest: int8", "compress", MODEL, "-r", "int-8", "-o", out)
        self.refused(3, "presets that fit", "compress", MODEL, "-r", "gguf-q8_0", "-o", out)
        self.refused(3, "cannot open", "compress", self.dir / "none", "-r", "int8", "-o", out)
        self.refused(3, "MB of memory", "compress", MODEL, "-r", "int8", "-o", out, "--memory", "1M")
        odd = {"stages": [{"pass": "quantize", "scheme": "int4", "group_size": 96}]}
        self.refused(3, "/stages/0/group_size: tensor model.layers.0.", "compress", MODEL, "-r",
                     json.dumps(odd), "-o", out)
        self.refused(2, "standard output", "compress", MODEL, "-r", "int8", "-o", "-")
        self.refused(3, "No such file", "compress", MODEL, "-r", "int8", "-o", out / "deep" / "er")
        self.refused(3, "No such file", "compress", MODEL, "-r", self.dir / "no.json", "-o", out)
        self.refused(3, "cannot write the report", "compress", MODEL, "-r", "int8", "-o", out,
                     "--report", self.dir / "none" / "report.json")
        self.refused(2, "is a folder", "compress", MODEL, "-r", "int8", "-o", out, "--report",
                     self.dir)

    def test_output_within_the_source(self):
        source = self.dir / "source"
        shutil.copytree(MODEL, source)
        before = sorted(p.name for p in source.iterdir())
        done = ctl("compress", source, "-r", "int8", "-o", source / "out")
        self.assertEqual(done.returncode, 3)
        self.assertIn("lies within the source", done.stderr)
        self.assertEqual(sorted(p.name for p in source.iterdir()), before)

    def test_a_lone_file_goes_into_a_folder(self):
        (self.dir / "into").mkdir()
        source = MODEL / "model.safetensors"
        done = ctl("compress", source, "-r", "int8", "-o", f"{self.dir / 'into'}/")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("into/model.safetensors", done.stdout)
        self.assertTrue((self.dir / "into" / "model.safetensors").is_file())

    def test_existing_output(self):
        out, _ = self.compress("int8", "out")
        before = sha256(out / "model.safetensors")
        done = ctl("compress", MODEL, "-r", "fp8", "-o", out)
        self.assertEqual(done.returncode, 3)
        self.assertIn("exists", done.stderr)
        self.assertEqual(sha256(out / "model.safetensors"), before)
        self.compress("fp8", "out", "--force")
        self.assertNotEqual(sha256(out / "model.safetensors"), before)
        (self.dir / "mine").mkdir()
        (self.dir / "mine" / "letter.txt").write_text("dear")
        done = ctl("compress", MODEL, "-r", "fp8", "-o", self.dir / "mine", "--force")
        self.assertEqual(done.returncode, 3)
        self.assertEqual((self.dir / "mine" / "letter.txt").read_text(), "dear")
        self.assertEqual(self.left(), ["mine", "out", "out.json"])

    def test_json(self):
        done = ctl("compress", MODEL, "-r", "gguf-q4_0", "-o", self.dir / "x", "--json")
        self.assertEqual((done.returncode, done.stderr), (3, ""))
        problem = json.loads(done.stdout)["problem"]
        self.assertEqual(problem["type"], "/problems/recipe-does-not-fit")
        self.assertEqual(problem["errors"][0]["nearest"], "int4-g128")
        done = ctl("compress", MODEL, "-r", "int8", "-o", self.dir / "x", "--json")
        kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        self.assertEqual((kinds[0], kinds[1], kinds[-1]), ("plan", "progress", "result"))

    def test_dry_run(self):
        done = ctl("compress", MODEL, "-r", "int8", "--dry-run", "--json")
        plan = json.loads(done.stdout)["data"]
        self.assertEqual(self.left(), [])
        _, report = self.compress("int8", "out")
        self.assertEqual(plan["bytes_out"], report["size"]["bytes_out"])

    def test_nan_is_named(self):
        bad = self.dir / "bad"
        shutil.copytree(MODEL, bad)
        st = Safetensors(bad / "model.safetensors")
        begin = st.start + st.header[LINEAR + ".weight"]["data_offsets"][0]
        with open(bad / "model.safetensors", "r+b") as f:
            f.seek(begin + 2 * 4321)
            f.write(b"\xc0\x7f")
        done = ctl("compress", bad, "-r", "int8", "-o", self.dir / "out")
        self.assertEqual(done.returncode, 4)
        self.assertIn(LINEAR + ".weight", done.stderr)
        self.assertIn("flat index 4321", done.stderr)
        self.assertEqual(self.left(), ["bad"])

    def test_truncated(self):
        bad = self.dir / "bad.safetensors"
        bad.write_bytes((MODEL / "model.safetensors").read_bytes()[:-1])
        done = ctl("compress", bad, "-r", "int8", "-o", self.dir / "out")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(self.left(), ["bad.safetensors"])


class Stopping(Case):
    def test_signals_leave_nothing(self):
        """At ten moments of a job of some hundred milliseconds."""
        big = self.dir / "big.safetensors"
        name = "model.layers.0.mlp.up_proj.weight"
        rows, cols = 24576, 2048
        header = {name: {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [0, 2 * rows * cols]}}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        weights = bytearray(os.urandom(2 * cols))
        weights[1::2] = bytes(0x3C for _ in range(cols))
        with open(big, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + bytes(weights) * rows)
        argv = [CTL, "compress", str(big), "-r", "int8", "-o", str(self.dir / "out"), "-q"]
        start = time.monotonic()
        subprocess.run(argv, check=True)
        whole = time.monotonic() - start
        (self.dir / "out").unlink()
        dice = random.Random(7)
        stopped = 0
        for i in range(10):
            child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
            time.sleep(whole * dice.random())
            asked = time.monotonic()
            child.send_signal(signal.SIGTERM if i % 2 else signal.SIGINT)
            code = child.wait(timeout=20)
            if code == -signal.SIGINT or code == -signal.SIGTERM:
                pass  # before main() could say that it minds
            elif code == 0:
                (self.dir / "out").unlink()  # done before the signal came
                continue
            else:
                self.assertEqual(code, 5)
                self.assertLess(time.monotonic() - asked, 3)
            stopped += 1
            self.assertEqual(self.left(), ["big.safetensors"])
        self.assertGreater(stopped, 3)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
