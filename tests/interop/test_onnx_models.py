#!/usr/bin/env python3
"""Whole ONNX models, run: our outputs are those of ONNX Runtime and PyTorch.

Models that packages ship: speech detectors with state and If (silero-vad,
@ricky0123/vad-web), a text detector and a classifier of convolutions and a text
recogniser with attention (rapidocr-onnxruntime), a detector of file types (magika),
an int8 transformer (pipecat-ai). Networks of tests/golden/nets.py, exported by both
exporters of PyTorch. Each on several shapes; the workspace of each plan is held
against what is alive at one time.

Differences are relative to an element or to the root mean square of all, whichever is
larger. ONNX Runtime runs the graph as it is, without fusing.
"""

import sys
import warnings

import numpy as np

import onnx_run
from suite import ROOT, Suite

RELATIVE = 1e-4
# Values within half a step of a rounding edge fall to either side, and go on from there.
INT8 = 1e-2
WORKSPACE = 1.2

rng = np.random.default_rng(7)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def sound(*shape):
    """Something with the spectrum of a voice: harmonics that rise and fall."""
    t = np.arange(shape[-1]) / 16000.0
    pitch = rng.uniform(90, 250, shape[:-1] + (1,))
    waves = sum(np.sin(2 * np.pi * k * pitch * t + k) / k for k in range(1, 12))
    return (0.1 * waves + 0.01 * rng.standard_normal(shape)).astype(np.float32)


def page(n, height, width):
    """Dark strokes in lines on white paper, normalised as the text models want it."""
    image = np.ones((n, 3, height, width), np.float32)
    for k in range(n):
        for y in range(6, height - 14, 24):
            for x in range(4, width - 12, 10):
                image[k, :, y : y + 12, x : x + 2] = rng.uniform(-1, -0.5)
                row = y + int(rng.integers(0, 11))
                image[k, :, row : row + 2, x : x + int(rng.integers(4, 9))] = -1
    return image


def furthest(got, wanted, floor=0.0):
    """Over all outputs of all feeds; inf when one has more outputs than the other."""
    if [len(g) for g in got] != [len(w) for w in wanted]:
        return np.inf
    return max(onnx_run.distance(g, w, floor) for a, b in zip(got, wanted) for g, w in zip(a, b))


def check(suite, name, model, feeds, limit=RELATIVE, wanted=None, floor=0.0, runtime=True):
    """Outputs of all feeds against ONNX Runtime's (and `wanted`, PyTorch's); returns ours."""
    session = onnx_run.session_of(model)
    names = [i.name for i in session.get_inputs()]
    got, facts = onnx_run.ours(suite, model, names, feeds)
    if runtime:
        worst = furthest(got, [session.run(None, feed) for feed in feeds], floor)
        suite.check(worst <= limit, f"{name}: {len(feeds)} shapes, {worst:.1e} from ONNX Runtime")
    if wanted is not None:
        worst = furthest(got, wanted)
        suite.check(worst <= limit, f"{name}: {len(feeds)} shapes, {worst:.1e} from PyTorch")
    spare = max(f["workspace"] / max(f["live"], 1) for f in facts)
    suite.check(spare <= WORKSPACE,
                f"{name}: workspace {facts[-1]['workspace']} bytes, {spare:.2f} of what is alive")
    return got


# ---- models that packages ship ----


def speech(suite, model):
    """Frames one after another, each model's own state going from one to the next."""
    session = onnx_run.session_of(model)
    ports = {i.name: i for i in session.get_inputs()}
    names = list(ports)
    rates = [16000] if "16k" in model.name or "sr" not in ports else [16000, 8000]
    batches = [1] if ports["input"].shape[0] == 1 or "h" in ports and "sr" not in ports else [1, 3]
    for rate in rates:
        for batch in batches:
            sequence = "h" in ports and "sr" not in ports
            length = {16000: 576, 8000: 288}[rate] if "state" in ports or sequence else 512
            states = {}
            for s in set(names) - {"input", "sr"}:
                width = 64 if "legacy" in model.name else 128
                states[s] = np.zeros((1 if sequence else 2, batch, width), np.float32)
            feeds = []
            frames = [1, 3, 7] if sequence else [batch] * 5
            for count in frames:
                feed = {"input": sound(count, length), **states}
                if "sr" in ports:
                    feed["sr"] = np.array(rate, np.int64)
                feeds.append(feed)
                out = session.run(None, feed)[1:]
                states = dict(zip([n for n in names if n in states], out))
            # A probability below a hundredth counts as one: there the runtime's sigmoid is rough.
            check(suite, f"{model.stem} at {rate} Hz, batch {batch}", model, feeds, floor=1e-2)


def shipped(suite):
    models = sorted((suite.interop_dir / "onnx-models").glob("*.onnx"))
    suite.check(len(models) >= 9, f"{len(models)} speech models of packages are there")
    for model in models:
        with suite.section(model.stem):
            speech(suite, model)
    more = suite.interop_dir / "onnx-more"
    with suite.section("text detector"):
        sizes = [(1, 64, 64), (1, 96, 160), (2, 32, 64), (1, 160, 320)]
        feeds = [{"x": page(*size)} for size in sizes]
        check(suite, "ch_PP-OCRv4_det", more / "ch_PP-OCRv4_det_infer.onnx", feeds)
    with suite.section("text recogniser"):
        sizes = [(1, 48, 64), (2, 48, 160), (1, 48, 320)]
        feeds = [{"x": page(*size)} for size in sizes]
        check(suite, "ch_PP-OCRv4_rec", more / "ch_PP-OCRv4_rec_infer.onnx", feeds)
    with suite.section("text classifier"):
        feeds = [{"x": page(n, 48, 192)} for n in (1, 3)]
        check(suite, "ch_ppocr_cls", more / "ch_ppocr_mobile_v2.0_cls_infer.onnx", feeds)
    with suite.section("file types"):
        feeds = [{"bytes": rng.integers(0, 257, (n, 2048)).astype(np.int32)} for n in (1, 3, 2)]
        check(suite, "magika", more / "model.onnx", feeds)
    with suite.section("turn"):
        feeds = [{"input_features": 0.5 * floats(n, 80, 800)} for n in (1, 2)]
        check(suite, "smart-turn (int8)", more / "smart-turn-v3.2-cpu.onnx", feeds, INT8)


# ---- networks exported from PyTorch ----


def psnr(a, b):
    return float(10 * np.log10(1 / max(np.mean((a.astype(np.float64) - b) ** 2), 1e-20)))


def exported(suite):
    import torch

    sys.path.insert(0, str(ROOT / "tests/golden"))
    import nets

    def ids(n, t):
        return torch.from_numpy(rng.integers(0, 256, (n, t)))

    def mask(n, t):
        return (torch.arange(t)[None] < torch.tensor([[t - 3 * (k % 2)] for k in range(n)])).long()

    def image(*shape):
        return torch.from_numpy(floats(*shape))

    images, words = {0: "batch", 2: "height", 3: "width"}, {0: "batch", 1: "length"}
    rows = [
        ("resnet", nets.ResNet(16), {"x": images},
         [(image(2, 3, 64, 64),), (image(1, 3, 96, 64),), (image(3, 3, 33, 47),)]),
        ("unet", nets.UNet(32), {"x": images, "time": {0: "batch"}},
         [(image(n, 4, h, w), torch.arange(n) * 37.0 + 5) for n, h, w in
          ((2, 16, 16), (1, 32, 16), (3, 8, 24))]),
        ("vae-decoder", nets.Decoder(32), {"z": images},
         [(image(2, 4, 8, 8),), (image(1, 4, 16, 8),), (image(3, 4, 4, 12),)]),
        ("bert", nets.Bert(), {"ids": words, "mask": words},
         [(ids(n, t), mask(n, t)) for n, t in ((2, 16), (1, 64), (5, 7))]),
        ("gpt", nets.Gpt(), {"ids": words}, [(ids(2, 16),), (ids(1, 64),), (ids(5, 7),)]),
    ]
    for name, net, axes, inputs in rows:
        net = nets.initialised(net, 11)
        with torch.no_grad():
            wanted = [net(*i) for i in inputs]
        wanted = [[w.numpy() for w in (o if isinstance(o, tuple) else (o,))] for o in wanted]
        feeds = [{n: t.numpy() for n, t in zip(axes, i)} for i in inputs]
        for how, options in (
            ("TorchScript", {"dynamo": False, "opset_version": 17, "dynamic_axes": axes}),
            ("dynamo", {"dynamo": True, "opset_version": 18}),
            ("dynamo, operator set 23", {"dynamo": True, "opset_version": 23}),
        ):
            with suite.section(f"{name} by {how}"):
                if options["dynamo"]:
                    sizes = {}
                    shapes = {n: {d: sizes.setdefault(s, torch.export.Dim.AUTO) for d, s in a.items()}
                              for n, a in axes.items()}
                    options["dynamic_shapes"] = shapes
                path = suite.dir / f"{name}.onnx"
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    torch.onnx.export(net, inputs[0], str(path), input_names=list(axes),
                                      external_data=False, verbose=False, **options)
                # ONNX Runtime's Attention wants a mask as high as the queries; ONNX does not.
                runtime = name != "bert" or options["opset_version"] < 23
                got = check(suite, f"{name} by {how}", path, feeds, wanted=wanted, runtime=runtime)
                if name in ("unet", "vae-decoder"):
                    # Against a picture that is neither's: what a report would print.
                    target = [w[0] + 0.03 * floats(*w[0].shape) for w in wanted]
                    a = [psnr(g[0], t) for g, t in zip(got, target)]
                    b = [psnr(w[0], t) for w, t in zip(wanted, target)]
                    suite.check(max(abs(x - y) for x, y in zip(a, b)) <= 1e-3,
                                f"{name} by {how}: PSNR {a[0]:.3f} dB, {b[0]:.3f} by PyTorch")


def main():
    suite = Suite("onnx_models")
    shipped(suite)
    exported(suite)
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
