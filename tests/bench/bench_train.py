#!/usr/bin/env python3
"""Training to its end, and its speed, beside PyTorch.

usage: bench_train.py BUILD DIR [digits] [gpt] [figures] [--steps 2000] [--rounds 6] [--threads 1,2]

DIR is what tests/interop/setup.sh fills (digits, Shakespeare; run this with its Python).

    digits   a convolutional net on 8,000 digits to 98 % of 2,000 others, from three seeds, each with
             a split, an order and first weights of its own; killed half way and gone on from on
             another number of threads, it ends with the same bytes
    gpt      a GPT of a million numbers on Shakespeare, a character at a time: the loss of PyTorch's
             training with the same first weights and batches, within 2 %, on the text it learns and
             on the fiftieth of the text left out. Both train at once, by one thread each, so that
             whatever else the machine does hits both (some 10 minutes; --steps)
    figures  a step of that GPT and of a ResNet-18, in short bursts that take turns, so that whatever
             else the machine does hits both: median and, in brackets, the quickest. "empty" is what
             two threads gain on a loop of multiply-adds that touches no memory (bench_forward), "of
             it" our gain divided by that, "PyTorch's" its own.

OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the environment of both sides. Ends with 1 when
98 %, the 2 % or the same bytes are missed; figures are only printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS"):
    os.environ.pop(name, None)

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/train"))
import digits  # noqa: E402
import gpt  # noqa: E402
import resnet  # noqa: E402

GPT = {"batch": 16, "rate": 0.002, "final": 0.0002, "warmup": 100, "clip": 1, "decay": 0.1,
       "beta2": 0.95, "train": 0.98, "validation": 0.02, "seed": 1}
GPT_STEP = {"batch": 16, "rate": 0.0001, "seed": 1}
RESNET_STEP = {"batch": 8, "optim": "sgd", "momentum": 0.9, "rate": 0.001, "seed": 1}
LAST = 50  # steps whose mean is a loss


class Bench:
    def __init__(self, build, data, folder):
        self.program = Path(build) / "tests/train/train_graph"
        self.build, self.data, self.dir = Path(build), Path(data), Path(folder)
        self.missed = 0

    def start(self, model, data, **options):
        argv = [self.program, self.dir / model, self.dir / data]
        argv += [f"{k}={v}" for k, v in options.items()]
        with open(self.dir / "said", "w") as said:
            return subprocess.Popen([str(a) for a in argv], stdout=said, stderr=subprocess.PIPE,
                                    text=True)

    def end(self, process, killed=False):
        """Losses, milliseconds a step, and the other lines; None when it was killed."""
        _, complaint = process.communicate()
        if process.returncode == -9 and killed:
            return None
        if process.returncode != 0:
            sys.exit(f"train_graph: {complaint}")
        lines = [line.split() for line in (self.dir / "said").read_text().splitlines()]
        steps = [w for w in lines if w[0] == "step"]
        return ([float(w[3]) for w in steps], [float(w[9]) for w in steps],
                [" ".join(w) for w in lines if w[0] != "step"])

    def ours(self, model, data, **options):
        return self.end(self.start(model, data, **options), killed="die" in options)

    def fact(self, holds, text):
        self.missed += not holds
        print(f"{'ok' if holds else 'MISSED'} - {text}", flush=True)


def run_digits(b):
    x, label = digits.images(b.data / "mnist")
    np.savez(b.dir / "digits.npz", x=x, label=label)
    whole, halves = b.dir / "whole.safetensors", b.dir / "halves.safetensors"
    def train(seed, **options):
        digits.export(digits.net(seed), b.dir / "digits.onnx")
        return b.ours("digits.onnx", "digits.npz", seed=seed, **digits.RECIPE, **options)

    for seed in digits.SEEDS[::-1]:
        _, took, said = train(seed, threads=2, weights=whole)
        accuracy = float(said[-1].split()[5])
        b.fact(accuracy >= 0.98, f"digits: seed {seed}: {accuracy:.2%} of 2,000 after {len(took)} steps "
               f"of {digits.RECIPE['batch']}, {sum(took) / 1e3:.1f} s by two threads")
    state = b.dir / "state"
    train(seed, threads=2, state=state, save=100, die=650)
    losses, _, _ = train(seed, threads=1, state=state, weights=halves)
    b.fact(len(losses) == len(took) - 600 and whole.read_bytes() == halves.read_bytes(),
           "digits: killed at step 650, gone on from 600 by one thread: the same bytes")


def write_gpt(b):
    ids, letters = gpt.tokens(b.data / "shakespeare")
    np.save(b.dir / "gpt.npy", ids)
    model = gpt.net(len(letters))
    gpt.export(model, b.dir / "gpt.onnx")
    return ids, model, len(letters)


def run_gpt(b, steps):
    ids, model, _ = write_gpt(b)
    options = {**GPT, "steps": steps}
    every = max(LAST, steps // 10)
    unseen = {}

    def after(done):
        if done % every == 0 or done == steps:
            unseen[done] = gpt.held_out(model, ids, options)

    process = b.start("gpt.onnx", "gpt.npy", schedule="cosine", threads=1, every=every, **options)
    losses, seconds = gpt.train(model, ids, {**options, "threads": 1}, after=after)
    ours, took, said = b.end(process)
    scores = {int(w[1]): float(w[3]) for w in map(str.split, said) if w[0] == "validation"}

    print(f"{said[0]}\n# PyTorch {torch.__version__}; {len(ids)} characters; a step is "
          f"{options['batch']} x {gpt.TOKENS} of them; mean loss of the last {LAST} steps, nats\n"
          "  steps   training: ours  PyTorch           left out: ours  PyTorch")
    for done in sorted(scores):
        mine, other = (statistics.mean(x[max(0, done - LAST):done]) for x in (ours, losses))
        print(f"{done:7} {mine:16.4f} {other:8.4f} {mine / other - 1:+9.3%} {scores[done]:15.4f} "
              f"{unseen[done]:8.4f} {scores[done] / unseen[done] - 1:+9.3%}")
    print(f"{statistics.median(took):.0f} ms a step here, {statistics.median(seconds) * 1e3:.0f} ms in "
          "PyTorch, both at once, by one thread each")
    for what, mine, wanted in (("training", mine, other), ("text left out", scores[steps],
                                                           unseen[steps])):
        b.fact(abs(mine / wanted - 1) <= 0.02, f"gpt: {what}: {mine:.4f} after {steps} steps, PyTorch "
               f"{wanted:.4f} ({mine / wanted - 1:+.3%})")


def empty_loop(b, threads, runs=9):
    """Milliseconds of the loop that touches no memory."""
    model = next(b.dir.glob("gpt.onnx"))
    ids = b.dir / "ids.bin"
    np.zeros((1, gpt.TOKENS), np.int64).tofile(ids)
    commands = f"loop {threads} {runs}\n"
    r = subprocess.run([str(b.build / "tests/bench/bench_forward"), str(model),
                        f"input_ids:i64:1,{gpt.TOKENS}:{ids}"],
                       input=commands, capture_output=True, text=True, check=True)
    return statistics.median(float(line) for line in r.stdout.split())


def shown(times):
    return f"{statistics.median(times):8.1f} [{min(times):7.1f}]"


def run_figures(b, rounds, threads):
    ids, _, classes = write_gpt(b)
    resnet.write(b.dir, RESNET_STEP["batch"])
    sides = {
        "GPT, 16 x 128": (
            lambda n: b.ours("gpt.onnx", "gpt.npy", steps=6, threads=n, **GPT_STEP)[1][1:],
            lambda n: gpt.train(gpt.net(classes), ids, {**GPT_STEP, "steps": 6, "threads": n})[1][1:]),
        "ResNet-18, 8 x 128²": (
            lambda n: b.ours("resnet.onnx", "resnet.npz", steps=5, threads=n, **RESNET_STEP)[1][1:],
            lambda n: resnet.train(resnet.net(), 5, RESNET_STEP["batch"], n)[1][1:]),
    }
    said = b.ours("gpt.onnx", "gpt.npy", steps=1, **GPT_STEP)[2][0]
    print(f"{said}\n# PyTorch {torch.__version__}, {torch.backends.mkldnn.is_available()=}; "
          "OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE unset; milliseconds a step, median [quickest]")
    print("                      threads   ours               PyTorch            ratio    gain  empty  of it  PyTorch's")
    ours, theirs, empty = {}, {}, {n: [] for n in threads}
    for _ in range(rounds):
        for n in threads:
            empty[n].append(empty_loop(b, n))
            for name, (mine, other) in sides.items():
                ours.setdefault((name, n), []).extend(mine(n))
                theirs.setdefault((name, n), []).extend(t * 1e3 for t in other(n))
    for name in sides:
        for n in threads:
            mine, other = ours[name, n], theirs[name, n]
            ratio = statistics.median(other) / statistics.median(mine)
            line = f"{name:22} {n:5}  {shown(mine)} {shown(other)}  {ratio:6.2f}"
            if n != threads[0]:
                gain = statistics.median(ours[name, threads[0]]) / statistics.median(mine)
                free = statistics.median(empty[threads[0]]) / statistics.median(empty[n])
                same = statistics.median(theirs[name, threads[0]]) / statistics.median(other)
                line += f"  {gain:6.2f} {free:6.2f} {gain / free:6.2f} {same / free:6.2f}"
            print(line, flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build")
    p.add_argument("data")
    p.add_argument("parts", nargs="*", default=[])
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--threads", default="1,2")
    a = p.parse_args()
    parts = a.parts or ["digits", "gpt", "figures"]
    with tempfile.TemporaryDirectory(prefix="bench-train-") as folder:
        b = Bench(a.build, a.data, folder)
        if "digits" in parts:
            run_digits(b)
        if "gpt" in parts:
            run_gpt(b, a.steps)
        if "figures" in parts:
            run_figures(b, a.rounds, [int(n) for n in a.threads.split(",")])
    return 1 if b.missed else 0


if __name__ == "__main__":
    sys.exit(main())
