"""A model on inputs, by ONNX Runtime and by run_onnx, and how far apart the two are.

Environment, besides suite.py's:
    RUN_ONNX  the program (default: the one of COMPRESSCTL's build)
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from suite import Failed

# Without fused kernels: what the file says, node by node.
PLAIN = ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def session_of(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    options.graph_optimization_level = PLAIN
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def program():
    build = Path(os.environ["COMPRESSCTL"]).resolve().parents[1]
    return os.environ.get("RUN_ONNX") or build / "tests/numeric/run_onnx"


def ours(suite, model, names, feeds):
    """The outputs of run_onnx for each feed (a dictionary by the names in the graph's
    order), and what its plans say of themselves."""
    folders = []
    for k, feed in enumerate(feeds):
        folder = suite.dir / f"feed-{k}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for i, name in enumerate(names):
            tensor = onnx.numpy_helper.from_array(np.asarray(feed[name], order="C"), name)
            (folder / f"input_{i}.pb").write_bytes(tensor.SerializeToString())
        folders.append(folder)
    r = subprocess.run([program(), model, *folders], capture_output=True, text=True)
    if r.returncode != 0:
        raise Failed("run_onnx", (r.stderr.strip() or r.stdout.strip())[-400:], r.returncode)
    facts = [json.loads(line) for line in r.stdout.splitlines()]
    outputs = []
    for folder in folders:
        count = len(list(folder.glob("output_*.npy")))
        outputs.append([np.load(folder / f"output_{i}.npy") for i in range(count)])
    return outputs, facts


def distance(got, want, floor=0.0):
    """The largest difference, relative to the element or to the root mean square of
    all or to `floor`, whichever is largest; inf when types or shapes differ or a number is none."""
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype != want.dtype or got.shape != want.shape:
        return np.inf
    if want.size == 0:
        return 0.0
    if want.dtype.kind != "f":
        return 0.0 if np.array_equal(got, want) else np.inf
    got, want = got.astype(np.float64), want.astype(np.float64)
    scale = np.maximum(np.abs(want), max(np.sqrt(np.mean(want * want)), floor))
    worst = np.max(np.abs(got - want) / np.maximum(scale, 1e-30))
    return float(worst) if np.isfinite(worst) else np.inf
