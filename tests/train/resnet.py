#!/usr/bin/env python3
"""A residual net of the size and shape of ResNet-18 (He et al. 2015), as ONNX, normalising by the
batch's own statistics.

usage: resnet.py OUT     writes OUT/resnet.onnx, OUT/resnet.npz (pictures of noise: for its speed)
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

SIDE, CLASSES = 128, 1000


def conv(inputs, outputs, kernel, stride=1):
    return torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(torch.nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.a, self.na = conv(inputs, outputs, 3, stride), torch.nn.BatchNorm2d(outputs)
        self.b, self.nb = conv(outputs, outputs, 3), torch.nn.BatchNorm2d(outputs)
        self.skip = None
        if stride > 1:
            self.skip = torch.nn.Sequential(conv(inputs, outputs, 1, stride),
                                            torch.nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.nb(self.b(torch.relu(self.na(self.a(x)))))
        return torch.relu(y + (self.skip(x) if self.skip else x))


class Resnet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = conv(3, 64, 7, 2), torch.nn.BatchNorm2d(64)
        widths = [64, 64, 128, 256, 512]
        self.blocks = torch.nn.Sequential(*(
            Block(widths[i + (k > 0)], widths[i + 1], 2 if k == 0 and i > 0 else 1)
            for i in range(4) for k in range(2)))
        self.fc = torch.nn.Linear(512, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.norm(self.stem(x))), 3, 2, 1)
        return self.fc(self.blocks(x).mean((2, 3)))


def net(seed=1):
    torch.manual_seed(seed)
    return Resnet()


def export(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(2, 3, SIDE, SIDE), str(path), dynamo=False,
                          opset_version=17, input_names=["x"], output_names=["scores"],
                          dynamic_axes={"x": {0: "batch"}, "scores": {0: "batch"}},
                          do_constant_folding=False, training=torch.onnx.TrainingMode.TRAINING)


def pictures(count):
    rng = np.random.default_rng(1)
    return (rng.standard_normal((count, 3, SIDE, SIDE), np.float32),
            rng.integers(0, CLASSES, count))


def train(model, steps, batch, threads):
    """SGD over the same few pictures; losses and seconds per step."""
    torch.set_num_threads(threads)
    sgd = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    x, label = (torch.from_numpy(a) for a in pictures(batch))
    losses, took = [], []
    for _ in range(steps):
        start = time.perf_counter()
        loss = F.cross_entropy(model(x), label)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        took.append(time.perf_counter() - start)
    return losses, took


def write(out, count):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    export(net(), out / "resnet.onnx")
    x, label = pictures(count)
    np.savez(out / "resnet.npz", x=x, label=label)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1], 8)
