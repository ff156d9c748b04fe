#!/usr/bin/env python3
"""ONNX models that are wrong, given to compressctl: a message with the culprit's name, an exit code
of its own, no output, little memory, soon.

usage: test_bad_onnx.py COMPRESSCTL

Everything is written here byte by byte, from onnx.proto. Only the standard library is used.
"""

import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

CTL = sys.argv[1]
RECIPE = '{"stages": [{"pass": "quantize", "scheme": "f32"}]}'
# Sanitizers take several times both. A refusal reads headers, and no more of them than it wants.
SECONDS, MEGABYTES = 60, 700


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def numbers(field, values):
    return text(field, b"".join(varint(v) for v in values))


# ---- parts of a ModelProto ----


def attr_ints(name, values):
    return text(5, text(1, name) + b"".join(number(8, v) for v in values) + number(20, 7))


def attr_graph(name, graph):
    return text(5, text(1, name) + text(6, graph) + number(20, 5))


def node(op, inputs, outputs, *attrs, name="", domain=""):
    out = b"".join(text(1, i) for i in inputs) + b"".join(text(2, o) for o in outputs)
    return text(1, out + text(3, name) + text(4, op) + b"".join(attrs) + text(7, domain))


def shape(dims):
    return b"".join(text(1, text(2, d) if isinstance(d, str) else number(1, d)) for d in dims)


def value(field, name, dims, elem=1):
    return text(field, text(1, name) + text(2, text(1, number(1, elem) + text(2, shape(dims)))))


def weight(name, dims, data=None, elem=1, more=b""):
    if data is None and not more:
        data = bytes(4 * max(1, eval("*".join(map(str, dims)) or "1")))
    raw = b"" if data is None else text(9, data)
    return text(5, numbers(1, dims) + number(2, elem) + text(8, name) + raw + more)


def outside(location, offset=None, length=None):
    """The external data of a tensor."""
    out = text(13, text(1, "location") + text(2, location))
    for key, n in (("offset", offset), ("length", length)):
        if n is not None:
            out += text(13, text(1, key) + text(2, str(n)))
    return out + number(14, 1)


def model(*parts, opset=17, ir=8, functions=b"", imports=b""):
    return (number(1, ir) + text(7, b"".join(parts) + text(2, "g")) +
            text(8, text(1, "") + number(2, opset)) + imports + functions)


X, Y = value(11, "x", [2, 3]), value(12, "y", [2, 3])


def npy(shape, count):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(4 * count)


class BadOnnx(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = Path(self.folder.name)
        self.recipe = self.dir / "recipe.json"
        self.recipe.write_text(RECIPE)
        self.data = self.dir / "data.npz"
        with zipfile.ZipFile(self.data, "w") as z:
            z.writestr("x.npy", npy("(2, 3)", 6))
            z.writestr("y.npy", npy("(2, 3)", 6))

    def tearDown(self):
        self.folder.cleanup()

    def ctl(self, *args):
        """Exit code, what it said, MB at most."""
        with tempfile.TemporaryFile() as said:
            began = time.monotonic()
            p = subprocess.Popen([CTL, *map(str, args)], stdout=said, stderr=said)
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = os.waitstatus_to_exitcode(status)
            self.assertLess(time.monotonic() - began, SECONDS, "it took too long")
            said.seek(0)
            return p.returncode, said.read().decode(errors="replace"), usage.ru_maxrss / 1024

    def refused(self, what, *words, verbs=("inspect", "compress", "evaluate")):
        """`what`: bytes of a model, or the path of one. Every verb names the culprit."""
        if isinstance(what, bytes):
            path = self.dir / "bad.onnx"
            path.write_bytes(what)
        else:
            path = what
        out = self.dir / "out.onnx"
        args = {
            "inspect": ["inspect", path],
            "compress": ["compress", path, "--recipe", self.recipe, "-o", out],
            "evaluate": ["evaluate", path, "-d", self.data, "--latency", 0],
        }
        for verb in verbs:
            out.unlink(missing_ok=True)
            code, said, megabytes = self.ctl(*args[verb])
            with self.subTest(verb=verb, said=said[-400:]):
                self.assertTrue(0 < code < 126, f"ended with {code}")
                for word in words:
                    self.assertIn(word, said)
                self.assertFalse(out.exists(), "it left an output")
                self.assertLess(megabytes, MEGABYTES)

    def test_a_good_one(self):
        path = self.dir / "good.onnx"
        path.write_bytes(model(node("Relu", ["x"], ["y"]), X, Y))
        for args in (["inspect", path], ["evaluate", path, "-d", self.data, "--latency", 0]):
            code, said, _ = self.ctl(*args)
            self.assertEqual(code, 0, said)

    def test_cycles(self):
        self.refused(model(node("Add", ["x", "c"], ["b"], name="first"),
                           node("Relu", ["b"], ["c"], name="second"),
                           node("Relu", ["c"], ["y"]), X, Y), "cycle")
        self.refused(model(node("Add", ["x", "y"], ["y"], name="itself"), X, Y), "cycle")

    def test_missing_inputs(self):
        self.refused(model(node("Add", ["x", "nowhere"], ["y"], name="sum"), X, Y), "nowhere")
        self.refused(model(node("Relu", ["x"], ["z"]), X, Y), "'y'")
        self.refused(model(node("Add", ["x"], ["y"], name="sum"), X, Y), "sum", "input")
        body = node("Relu", ["inside"], ["r"]) + value(12, "r", [2, 3]) + text(2, "body")
        self.refused(model(node("If", ["c"], ["y"], attr_graph("then_branch", body),
                                attr_graph("else_branch", body)), value(11, "c", [], 9), Y), "inside")

    def test_two_of_one_name(self):
        self.refused(model(node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"]), X, Y), "'y'")
        self.refused(model(node("Relu", ["x"], ["y"]), X, X, Y), "'x'")

    def test_wrong_ranks(self):
        w = weight("w", [4, 3])
        self.refused(model(node("Conv", ["x", "w"], ["y"], name="conv"), X, w, Y), "conv")
        self.refused(model(node("MatMul", ["x", "w"], ["y"], name="mul"), X, w, Y), "mul")
        self.refused(model(node("Gemm", ["x", "w"], ["y"], name="fc"), X, weight("w", [3, 4, 5]), Y),
                     "fc")
        perm = attr_ints("perm", [0, 1, 2])
        self.refused(model(node("Transpose", ["x"], ["y"], perm, name="turn"), X, Y), "turn")
        self.refused(model(node("Add", ["x", "w"], ["y"], name="sum"), X, weight("w", [5]), Y), "sum")

    def test_short_initializers(self):
        use = node("Add", ["x", "w"], ["y"]) + X + Y
        self.refused(model(use, weight("w", [2, 3], bytes(20))), "w", "20 bytes", "24")
        self.refused(model(use, weight("w", [2, 3], bytes(28))), "w", "28 bytes", "24")
        self.refused(model(use, weight("w", [2, 3], b"")), "'w'")
        floats = text(4, struct.pack("<5f", *range(5)))
        self.refused(model(use, weight("w", [2, 3], more=floats)), "w")
        self.refused(model(use, weight("w", [1 << 40, 1 << 40], bytes(24))), "w")
        self.refused(model(use, weight("w", [-1, 3], bytes(12))), "w", "negative")
        self.refused(model(use, weight("w", [0, 3], bytes(12))), "w")
        # As a tensor of an unknown type: carried, but nothing can be computed from it.
        self.refused(model(use, weight("w", [1] * 40, bytes(4))), verbs=["evaluate"])

    def test_operator_sets_from_the_future(self):
        """Carried, as operators that nobody knows are: not run, and said so."""
        path = self.dir / "future.onnx"
        data = model(node("Relu", ["x"], ["y"], name="act"), X, Y, opset=999)
        path.write_bytes(data)
        code, said, _ = self.ctl("inspect", path)
        self.assertEqual(code, 0, said)
        code, said, _ = self.ctl("compress", path, "--recipe", self.recipe, "-o", self.dir / "o.onnx")
        self.assertNotIn(code, range(126, 256), said)
        self.refused(path, "act", "999", verbs=["evaluate"])
        self.refused(model(node("Relu", ["x"], ["y"]), X, Y, ir=900), "900")

    def test_recursion(self):
        def nested(depth):
            graph = node("Relu", ["x"], ["y"]) + value(12, "y", [2, 3]) + text(2, "b")
            for _ in range(depth):
                graph = (node("If", ["c"], ["y"], attr_graph("then_branch", graph),
                              attr_graph("else_branch", b"")) + value(12, "y", [2, 3]) + text(2, "b"))
            return graph
        c = value(11, "c", [], 9)
        self.refused(model(nested(40), X, c), "deep")
        self.refused(model(nested(20000), X, c))

        def function(name, calls):
            return text(25, text(1, name) + text(4, "a") + text(5, "b") +
                        b"".join(text(7, n[2:] if n[1] < 128 else n[3:]) for n in calls) +
                        text(9, text(1, "") + number(2, 17)) + text(9, text(1, "f") + number(2, 1)) +
                        text(10, "f"))
        imports = text(8, text(1, "f") + number(2, 1))
        call = node("F", ["x"], ["y"], domain="f")
        itself = function("F", [node("F", ["a"], ["b"], domain="f")])
        self.refused(model(call, X, Y, functions=itself, imports=imports), "F")
        each_other = (function("F", [node("G", ["a"], ["b"], domain="f")]) +
                      function("G", [node("F", ["a"], ["b"], domain="f")]))
        self.refused(model(call, X, Y, functions=each_other, imports=imports), "F")
        # Twelve functions, each calling the next ten times: a trillion nodes.
        bomb = b""
        for k in range(12):
            names = ["a"] + [f"t{i}" for i in range(9)] + ["b"]
            callee = {"domain": "f"} if k < 11 else {}
            op = f"F{k + 1}" if k < 11 else "Relu"
            bomb += function(f"F{k}", [node(op, [names[i]], [names[i + 1]], **callee) for i in range(10)])
        self.refused(model(node("F0", ["x"], ["y"], domain="f"), X, Y, functions=bomb, imports=imports),
                     "nodes")

    def millions(self, part, rest=b"", in_node=False):
        """A model whose graph (its only node, in_node) has ten million times the same bytes, and
        then the rest. Written in pieces: what this process has held counts as held by its children.
        """
        path = self.dir / "millions.onnx"
        block = part * 10000
        length = 1000 * len(block) + len(rest)
        with open(path, "wb") as f:
            f.write(number(1, 8) + text(8, text(1, "") + number(2, 17)))
            if in_node:
                head = varint(1 << 3 | 2) + varint(length)
                f.write(varint(7 << 3 | 2) + varint(len(head) + length) + head)
            else:
                f.write(varint(7 << 3 | 2) + varint(length))
            for _ in range(1000):
                f.write(block)
            f.write(rest)
        return path

    def test_ten_million_nodes(self):
        self.refused(self.millions(text(1, text(4, "x"))), "nodes", verbs=["inspect"])
        named = node("Relu", ["x"], ["y"], name="one of many")
        self.refused(self.millions(named), "nodes", verbs=["inspect", "evaluate"])

    def test_ten_million_of_everything_else(self):
        for part in (
            text(5, numbers(1, [1]) + number(2, 1) + text(8, "w") + text(9, bytes(4))),  # weights
            value(11, "x", [1]), value(12, "y", [1]), value(13, "t", [1]), text(15, b""),
        ):
            self.refused(self.millions(part, node("Neg", ["x"], ["y"])), verbs=["inspect"])
        self.refused(self.millions(text(13, b"")), "memory", verbs=["inspect"])
        for part in (text(14, b""), number(99, 1)):  # says nothing, takes nothing
            code, said, megabytes = self.ctl("inspect", self.millions(part))
            self.assertEqual(code, 0, said)
            self.assertLess(megabytes, 100)

    def test_one_node_with_ten_million(self):
        for part in (text(1, "x"), text(5, text(1, "a") + number(3, 1))):
            self.refused(self.millions(part, text(4, "Concat"), in_node=True), verbs=["inspect"])

    def test_external_data_outside(self):
        """The model and what it may see lie in a folder; what it may not, beside that."""
        secret = self.dir / "secret.bin"
        secret.write_bytes(bytes(24))
        inner = self.dir / "model"
        inner.mkdir()
        path = inner / "model.onnx"
        (inner / "w.bin").write_bytes(bytes(24))
        use = node("Add", ["x", "w"], ["y"]) + X + Y

        def with_data(*args):
            path.write_bytes(model(use, weight("w", [2, 3], more=outside(*args))))
        with_data("w.bin", 0, 24)
        code, said, _ = self.ctl("inspect", inner)
        self.assertEqual(code, 0, said)
        for args in (("../secret.bin",), ("../secret.bin", 0, 24), (str(secret),), ("/dev/zero", 0, 24),
                     ("w/../../secret.bin",), ("./../secret.bin",), ("",),
                     ("nothere.bin", 0, 24), ("w.bin", 0, 25), ("w.bin", 4, 24), ("w.bin", -4, 24),
                     ("w.bin", 0, 20), ("w.bin", 1 << 63, 24), ("w.bin", 0, -1), ("w.bin", "", 24),
                     ("w.bin", "0x0", 24), ("model.onnx", 0, 1 << 40)):
            with_data(*args)
            with self.subTest(external=args):
                self.refused(inner, "w")

    def test_cut_anywhere(self):
        whole = model(node("Add", ["x", "w"], ["y"]), X, Y, weight("w", [2, 3]))
        for at in range(1, len(whole) - 1, 3):
            path = self.dir / "cut.onnx"
            path.write_bytes(whole[:at])
            code, said, _ = self.ctl("evaluate", path, "-d", self.data, "--latency", 0)
            self.assertTrue(0 < code < 126, f"cut at {at}: ended with {code}: {said[-300:]}")

    def test_datasets_that_do_not_fit(self):
        path = self.dir / "good.onnx"
        path.write_bytes(model(node("Relu", ["x"], ["y"]), value(11, "x", ["n", 3]),
                               value(12, "y", ["n", 3])))

        def evaluate(arrays, *words):
            data = self.dir / "other.npz"
            with zipfile.ZipFile(data, "w") as z:
                for name, array in arrays.items():
                    z.writestr(name + ".npy", array)
            code, said, _ = self.ctl("evaluate", path, "-d", data, "--latency", 0)
            self.assertTrue(0 < code < 126, f"ended with {code}")
            for word in words:
                self.assertIn(word, said)
        four = npy("(4, 3)", 12)
        evaluate({"x": four, "y": npy("(5, 3)", 15)}, "y")
        evaluate({"x": npy("(4, 2)", 8)}, "x")
        evaluate({"x": npy("(4, 3, 1, 7)", 84)}, "x")
        evaluate({"other": four}, "x")
        evaluate({"x": four[:-1]}, "x")
        evaluate({"x": npy("(0, 3)", 0)}, "x")
        evaluate({})
        ids = npy("(4,)", 4).replace(b"<f4", b"<i4")
        labels = ids[:-16] + struct.pack("<4i", 0, 1, 2, 3)
        evaluate({"x": four, "label": labels}, "label", "3")
        evaluate({"x": four, "label": ids[:-16] + struct.pack("<4i", 0, -1, 2, 1)}, "label", "-1")
        evaluate({"x": four.replace(b"<f4", b"<i4")}, "x")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
