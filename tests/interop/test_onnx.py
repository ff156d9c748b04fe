#!/usr/bin/env python3
"""ONNX models read and written: ONNX Runtime gives the same outputs, bit for bit.

Models that packages ship (silero-vad, @ricky0123/vad-web), models exported from
torch here, the golden ones of the onnx package. Each goes through compressctl
with a recipe that changes nothing, and through rewrite_onnx, which writes every
node anew, opens calls of functions, or moves the weights to a file of their own.

Environment, besides suite.py's:
    REWRITE_ONNX  the program (default: the one of COMPRESSCTL's build)
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from suite import ROOT, Suite

STAGE = {"pass": "quantize", "scheme": "f32"}  # what they are
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_,
         "tensor(float16)": np.float16, "tensor(int32)": np.int32}
# Sizes that a model's own code wants where it says only "sequence".
SIZES = {"sequence": 512, "batch": 1, "height": 8, "width": 8, "sequence_length": 3, "n": 4}


def file_of(path):
    """The .onnx file of a model, which may be a folder."""
    return next(Path(path).rglob("*.onnx")) if Path(path).is_dir() else Path(path)


def inputs_for(session, seed):
    """Inputs by name: random floats, the sampling rate that a speech model takes, else ones."""
    rng = np.random.default_rng(seed)
    feed = {}
    for i in session.get_inputs():
        shape = [d if isinstance(d, int) else SIZES.get(d, 512 if i.name == "input" and k == 1 else 1)
                 for k, d in enumerate(i.shape)]
        dtype = TYPES[i.type]
        if i.name == "sr":
            feed[i.name] = np.array(16000, dtype)
        elif dtype in (np.float32, np.float16):
            feed[i.name] = rng.standard_normal(shape).astype(dtype) * dtype(0.1)
        elif dtype == np.bool_:
            feed[i.name] = np.full(shape, seed % 2 == 0)
        else:
            feed[i.name] = np.full(shape, 2, dtype)
    return feed


def session_of(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(file_of(path)), options, providers=["CPUExecutionProvider"])


def same_outputs(a, b):
    """How many outputs of two seeds are the same bits; None when one is not."""
    one, two = session_of(a), session_of(b)
    count = 0
    for seed in (1, 2):
        feed = inputs_for(one, seed)
        left, right = one.run(None, feed), two.run(None, feed)
        if len(left) != len(right):
            return None
        for x, y in zip(left, right):
            x, y = np.asarray(x), np.asarray(y)
            if x.dtype != y.dtype or x.shape != y.shape or x.tobytes() != y.tobytes():
                return None
            count += 1
    return count


def same_files(a, b):
    if Path(a).is_dir() != Path(b).is_dir():
        return False
    if not Path(a).is_dir():
        return Path(a).read_bytes() == Path(b).read_bytes()
    names = sorted(p.relative_to(a) for p in Path(a).rglob("*") if p.is_file())
    return (names == sorted(p.relative_to(b) for p in Path(b).rglob("*") if p.is_file()) and
            all((Path(a) / n).read_bytes() == (Path(b) / n).read_bytes() for n in names))


def rewrite(suite, program, model, out, mode):
    r = subprocess.run([program, model, out, mode], capture_output=True, text=True)
    if r.returncode != 0:
        suite.check(False, f"rewrite_onnx {mode}: {r.stderr.strip()[-200:]}")
    return r.returncode == 0


def check_model(suite, program, model, name, runs=True, stage=STAGE):
    out = suite.dir / f"out-{name}"
    with suite.section(name):
        target = out if Path(model).is_dir() else out.with_suffix(".onnx")
        if stage:
            suite.compress(model, {"stages": [stage]}, target)
            suite.check(same_files(model, target), f"{name}: nothing to do leaves every byte")
        n = stage and runs and same_outputs(model, target)
        if stage and runs:
            suite.check(n, f"{name}: {n} outputs of ONNX Runtime are the same bits")
    if not runs:
        return
    large = file_of(model).stat().st_size > 100000 and not Path(model).is_dir()
    for mode in ("nodes", "outside") if large else ("nodes",):
        with suite.section(f"{name} {mode}"):
            folder = suite.dir / f"{mode}-{name}"
            if not rewrite(suite, program, model, folder, mode):
                continue
            onnx.checker.check_model(str(file_of(folder)))
            n = same_outputs(model, folder)
            files = len(list(folder.iterdir()))
            suite.check(n, f"{name}: {mode}: {n} outputs are the same bits, {files} file(s)")


class Net(torch.nn.Module):
    """Convolutions, norms, a skip connection, attention: what exporters meet."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(3, 32, 3, padding=1)
        self.norm = torch.nn.GroupNorm(4, 32)
        self.b = torch.nn.Conv2d(32, 32, 3, padding=1)
        self.bn = torch.nn.BatchNorm2d(32)
        self.attn = torch.nn.MultiheadAttention(32, 4, batch_first=True)
        self.fc = torch.nn.Linear(32, 512)

    def forward(self, x):
        x = torch.nn.functional.silu(self.norm(self.a(x)))
        x = x + torch.relu(self.bn(self.b(x)))
        t = x.flatten(2).transpose(1, 2)
        t = t + self.attn(t, t, t, need_weights=False)[0]
        return self.fc(t.mean(1))


def exported(suite):
    torch.manual_seed(5)
    path = suite.dir / "exported.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Net().eval(), torch.zeros(1, 3, 8, 8), str(path), dynamo=False,
                          input_names=["x"], output_names=["y"], opset_version=17,
                          dynamic_axes={"x": {0: "batch"}})
    return path


def as_external(suite, model, name):
    """The same model with its weights beside it, as the onnx package writes that."""
    folder = suite.dir / f"external-{name}"
    folder.mkdir()
    onnx.save_model(onnx.load(str(model)), str(folder / "model.onnx"), save_as_external_data=True,
                    location="weights.bin", size_threshold=256, convert_attribute=False)
    return folder


def main():
    suite = Suite("onnx")
    build = Path(os.environ["COMPRESSCTL"]).resolve().parents[1]
    program = os.environ.get("REWRITE_ONNX") or build / "tests/numeric/rewrite_onnx"
    shipped = sorted((suite.interop_dir / "onnx-models").glob("*.onnx"))
    suite.check(len(shipped) >= 4, f"{len(shipped)} models of packages are there")
    for model in shipped:
        check_model(suite, program, model, model.stem)
    with suite.section("torch"):
        check_model(suite, program, exported(suite), "torch")
    golden = ROOT / "tests/golden/onnx"
    for model in sorted(golden.glob("*.onnx")) + [golden / "external"]:
        # lists.onnx has an operator that is nobody's, sequences.onnx outputs that are no arrays
        # and quantized.onnx is what its name says: no stage takes it
        stage = {**STAGE, "targets": ["list.f32"]} if model.stem == "lists" else STAGE
        stage = None if model.stem == "quantized" else stage
        check_model(suite, program, model, f"golden-{model.stem}",
                    model.stem not in ("lists", "sequences"), stage)
    for model in shipped[:2]:
        with suite.section(f"external {model.stem}"):
            folder = as_external(suite, model, model.stem)
            check_model(suite, program, folder, f"external-data-{model.stem}")
            n = same_outputs(model, folder)
            suite.check(n, f"{model.stem}: as one file and with external data: {n} outputs")
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
