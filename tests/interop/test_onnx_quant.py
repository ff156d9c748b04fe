#!/usr/bin/env python3
"""Every quantization of ONNX that we write, opened and run by ONNX Runtime.

A speech detector (silero-vad), a text detector and a text recogniser of convolutions
(rapidocr-onnxruntime), a residual net, a net of depthwise convolutions and two small
transformers (tests/golden/nets.py) become f16, int8 and int4 by MatMulNBits, w8a8 by
DynamicQuantizeLinear and w8a8-static, whose ranges come from a set.

Each artifact opens in ONNX Runtime with its default options, lies near the original
there, computes the same in our executor, and its report says how near it is. Where a
model has nothing that a recipe can change, the plan says so and the file is the same.

Latency and memory of ONNX Runtime are printed, before and after, and not judged here.
"""

import json
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort

import onnx_run
from suite import ROOT, Suite
from test_onnx_models import page, sound

RUNS = 20
NOTHING = "no tensor changes its format"


def quantize(**stage):
    return {"stages": [{"pass": "quantize", **stage}]}


def static(method):
    stage = quantize(scheme="int8", activations="static")
    return {**stage, "calibration": {"method": method, "samples": 24}}


RECIPES = {
    "f16": quantize(scheme="f16"),
    "int8": quantize(scheme="int8"),
    "int4": quantize(scheme="int4", group_size=32),
    "w8a8": quantize(scheme="int8", activations="dynamic"),
    "static": static("minmax"),
    "static percentile": static("percentile"),
    "static mse": static("mse"),
    "static entropy": static("entropy"),
}
# ONNX Runtime without fusing, and we, on the same file: sums of another order fall to
# the other side of a rounding edge, and that goes on from there.
AGREES = {"f16": 0.9999, "int8": 0.99999, "int4": 0.99999, "w8a8": 0.999, "static": 0.999}


def cosine(got, want):
    """The least over all floating outputs; 0 when types or shapes differ or a number is none."""
    least = 1.0
    if len(got) != len(want):
        return 0.0
    for g, w in zip(got, want):
        g, w = np.asarray(g), np.asarray(w)
        if g.dtype != w.dtype or g.shape != w.shape or not np.all(np.isfinite(g)):
            return 0.0
        g, w = g.ravel().astype(np.float64), w.ravel().astype(np.float64)
        scale = np.linalg.norm(g) * np.linalg.norm(w)
        least = min(least, float(g @ w / scale) if scale else float(np.array_equal(g, w)))
    return least


def kl(got, want):
    """Mean over the rows of the last axis, nats, of two sets of logits."""
    def logs(x):
        x = np.asarray(x, np.float64)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    p, q = logs(want[0]), logs(got[0])
    return float(np.mean(np.sum(np.exp(p) * (p - q), -1)))


# ---- latency and memory ----

MEASURE = """
import json, sys, time
import numpy as np
import onnxruntime as ort

def memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024

feed = dict(np.load(sys.argv[2]))
options = ort.SessionOptions()
options.log_severity_level = 3
options.intra_op_num_threads = 1
before = memory("VmRSS")
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
session.run(None, feed)
times = []
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    session.run(None, feed)
    times.append(time.perf_counter() - start)
print(json.dumps({"ms": 1e3 * sorted(times)[len(times) // 2], "mb": memory("VmHWM") - before}))
"""


def measure(suite, model, feed):
    """Median milliseconds of a run on one thread, and the memory that opening and running took:
    in a process of its own, whose peak is its own."""
    np.savez(suite.dir / "feed.npz", **feed)
    r = subprocess.run([sys.executable, "-c", MEASURE, str(model), str(suite.dir / "feed.npz"), str(RUNS)],
                       capture_output=True, text=True)
    return json.loads(r.stdout) if r.returncode == 0 else {"ms": float("nan"), "mb": float("nan")}


class Table:
    def __init__(self, suite):
        self.suite = suite
        self.rows = []

    def add(self, model, recipe, path, feed, near=""):
        m = measure(self.suite, path, feed)
        self.rows.append((model, recipe, path.stat().st_size, m["ms"], m["mb"], near))

    def show(self):
        note = self.suite.note
        note(f"ONNX Runtime {ort.__version__}, default options, one thread: median of {RUNS} runs, and the")
        note("memory that opening and running added to the process")
        note(f"{'model':10} {'':18} {'bytes':>10} {'ms':>8} {'':>6} {'MB':>7}  against f32")
        before = {}
        for model, recipe, size, ms, mb, near in self.rows:
            before.setdefault(model, ms)
            times = f"{before[model] / ms:.2f}x" if recipe != "f32" else ""
            note(f"{model:10} {recipe:18} {size:10} {ms:8.2f} {times:>6} {mb:7.1f}  {near}")


# ---- a model and its recipes ----


def default_session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def check(suite, table, name, model, feeds, recipes, dataset=None, classes=False, nothing=(), batch=4,
          agrees=AGREES):
    """recipes: by name, the least cosine (classes: the largest KL) of ONNX Runtime's outputs from
    those of f32. nothing: those that find nothing to change. dataset: arrays by name."""
    session = default_session(model)
    names = [i.name for i in session.get_inputs()]
    wanted = [session.run(None, feed) for feed in feeds]
    table.add(name, "f32", model, feeds[0])
    data = None
    if dataset:
        data = suite.dir / f"{name}.npz"
        np.savez(data, **dataset)
    for recipe, limit in {**recipes, **dict.fromkeys(nothing)}.items():
        title = f"{name} {recipe}"
        with suite.section(title):
            out = suite.dir / f"{title.replace(' ', '-')}.onnx"
            wish = dict(RECIPES[recipe])
            for key in ("evaluation", "calibration"):
                if dataset and (key == "evaluation" or key in wish):
                    wish[key] = {**wish.get(key, {}), "batch": batch}
            if dataset:
                wish["evaluation"]["latency_runs"] = 0
            report = suite.compress(model, wish, out, dataset=data)
            said = [w["detail"] for w in report["warnings"]]
            if recipe in nothing:
                suite.check(NOTHING in said and out.read_bytes() == model.read_bytes(),
                            f"{title}: there is nothing to change, the plan says so")
                continue
            onnx.checker.check_model(str(out), full_check=True)
            opened = default_session(out)
            got = [opened.run(None, feed) for feed in feeds]
            if classes:
                far = max(kl(g, w) for g, w in zip(got, wanted))
                near = f"KL {far:.1e}"
                suite.check(far <= limit, f"{title}: KL {far:.1e} nats in ONNX Runtime")
            else:
                least = min(cosine(g, w) for g, w in zip(got, wanted))
                near = f"cosine {least:.6f}"
                suite.check(least >= limit, f"{title}: cosine {least:.6f} in ONNX Runtime")
            ours, _ = onnx_run.ours(suite, out, names, feeds)
            plain = onnx_run.session_of(out)
            agree = min(cosine(o, plain.run(None, f)) for o, f in zip(ours, feeds))
            suite.check(agree >= agrees[recipe.split()[0]], f"{title}: {agree:.6f} between us and it")
            if dataset:
                metric = "kl" if classes else "cosine"
                value = report["metrics"].get(metric, {}).get("value")
                good = value is not None and (value <= limit if classes else value >= limit)
                suite.check(good, f"{title}: the report says {metric} {value}")
            table.add(name, recipe, out, feeds[0], near)


class Depthwise:
    """MobileNetV2's blocks, few of them: x [n, 3, h, w] to logits."""

    def __new__(cls, classes=10):
        import torch
        from torch import nn

        def unit(cin, cout, k=3, stride=1, groups=1):
            return [nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False),
                    nn.BatchNorm2d(cout)]

        class Block(nn.Module):
            def __init__(self, cin, cout, stride):
                super().__init__()
                wide = 6 * cin
                self.skips = cin == cout and stride == 1
                self.seq = nn.Sequential(*unit(cin, wide, 1), nn.ReLU6(),
                                         *unit(wide, wide, 3, stride, wide), nn.ReLU6(),
                                         *unit(wide, cout, 1))

            def forward(self, x):
                return x + self.seq(x) if self.skips else self.seq(x)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.seq = nn.Sequential(*unit(3, 16, 3, 2), nn.ReLU6(), Block(16, 24, 2),
                                         Block(24, 24, 1), Block(24, 32, 2), Block(32, 32, 1),
                                         *unit(32, 128, 1), nn.ReLU6())
                self.fc = nn.Linear(128, classes)

            def forward(self, x):
                return self.fc(torch.nn.functional.adaptive_avg_pool2d(self.seq(x), 1).flatten(1))

        return Net()


def shipped(suite, table, rng):
    speech = suite.interop_dir / "onnx-models"
    more = suite.interop_dir / "onnx-more"
    with suite.section("silero-vad"):
        # As the package runs it; bodies of If hold the weights, convolutions and an LSTM.
        feeds = [{"input": sound(1, 576), "sr": np.array(16000, np.int64),
                  "state": 0.1 * rng.standard_normal((2, 1, 128)).astype(np.float32)}
                 for _ in range(3)]
        check(suite, table, "silero-vad", speech / "silero_vad.onnx", feeds, {"f16": 0.999},
              nothing=("int8", "int4", "w8a8"))
    with suite.section("silero-seq"):
        # One frame a sample, with the state that the frames before have left.
        model = speech / "silero_vad_16k_sequence.onnx"
        session = default_session(model)
        frames = sound(24, 576)
        data = {"input": frames, "h": np.zeros((24, 1, 128), np.float32)}
        data["c"] = data["h"].copy()
        for i in range(23):
            feed = {"input": frames[i : i + 1], "h": data["h"][i : i + 1], "c": data["c"][i : i + 1]}
            data["h"][i + 1], data["c"][i + 1] = (o[0] for o in session.run(None, feed)[1:])
        check(suite, table, "silero-seq", model,
              [{"input": frames[:12], "h": data["h"][:1], "c": data["c"][:1]}],
              {"f16": 0.999, "static": 0.97}, dataset=data, nothing=("int8", "int4", "w8a8"), batch=1)
    pages = page(8, 160, 160)
    with suite.section("text-det"):
        # Its map of probabilities is nearly all zeros, and f16 moves some edges: the conversion
        # of onnxruntime.transformers gives the same cosine.
        check(suite, table, "text-det", more / "ch_PP-OCRv4_det_infer.onnx",
              [{"x": pages[:1]}, {"x": pages[1:3]}], {"f16": 0.8, "static": 0.95},
              dataset={"x": pages}, nothing=("int8", "int4", "w8a8"))
    lines = page(8, 48, 160)
    with suite.section("text-rec"):
        # Strokes that are no letters: thousands of classes are near each other, and every step
        # of rounding moves some.
        check(suite, table, "text-rec", more / "ch_PP-OCRv4_rec_infer.onnx",
              [{"x": lines[:1]}, {"x": lines[1:3]}], {"f16": 0.99, "int8": 0.99, "int4": 0.9, "w8a8": 0.98, "static": 0.5},
              dataset={"x": lines}, agrees={**AGREES, "static": 0.9})


def exported(suite, table, rng):
    import torch

    sys.path.insert(0, str(ROOT / "tests/golden"))
    import nets

    def export(name, net, args, axes):
        path = suite.dir / f"{name}-original.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(nets.initialised(net, 11), args, str(path), input_names=list(axes),
                              output_names=["y"], dynamo=False, opset_version=17, dynamic_axes=axes)
        return path

    image = {"x": {0: "batch", 2: "height", 3: "width"}}
    words = {0: "batch", 1: "length"}
    pictures = rng.standard_normal((16, 3, 64, 64)).astype(np.float32)
    feeds = [{"x": pictures[:4]}, {"x": pictures[4:5]}]
    with suite.section("resnet"):
        model = export("resnet", nets.ResNet(32), (torch.zeros(1, 3, 64, 64),), image)
        check(suite, table, "resnet", model, feeds, dict.fromkeys(RECIPES, 0.99),
              dataset={"x": pictures})
    with suite.section("depthwise"):
        model = export("depthwise", Depthwise(), (torch.zeros(1, 3, 64, 64),), image)
        check(suite, table, "depthwise", model, feeds, {"f16": 0.999, "static": 0.99},
              dataset={"x": pictures})
    ids = rng.integers(0, 256, (8, 32))
    with suite.section("bert"):
        masks = (np.arange(32)[None] < np.array([[32 - 5 * (k % 3)] for k in range(8)])).astype(np.int64)
        model = export("bert", nets.Bert(), (torch.from_numpy(ids), torch.from_numpy(masks)),
                       {"ids": words, "mask": words})
        check(suite, table, "bert", model,
              [{"ids": ids, "mask": masks}, {"ids": ids[:1, :9], "mask": masks[:1, :9]}],
              {"f16": 0.9999, "int8": 0.999, "int4": 0.94, "w8a8": 0.998, "static": 0.998},
              dataset={"ids": ids, "mask": masks})
    with suite.section("gpt"):
        model = export("gpt", nets.Gpt(), (torch.from_numpy(ids),), {"ids": words})
        check(suite, table, "gpt", model, [{"ids": ids}, {"ids": ids[:1, :9]}],
              {"f16": 1e-5, "int8": 1e-3, "int4": 0.1, "w8a8": 3e-3, "static": 3e-3},
              dataset={"ids": ids, "label": np.roll(ids, -1, 1)}, classes=True)


def main():
    suite = Suite("onnx_quant")
    table = Table(suite)
    rng = np.random.default_rng(3)
    shipped(suite, table, rng)
    exported(suite, table, rng)
    table.show()
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
