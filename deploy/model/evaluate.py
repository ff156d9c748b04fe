#!/usr/bin/env python3
"""Held-out perplexity of a Llama folder and of a bigram model, on the tokens beside this file.

    python3 evaluate.py [FOLDER]        (needs numpy only; FOLDER holds one f32/f16/bf16 file)

heldout.npy         int32 [32, 512]: each row <s> and 511 tokens of chapters never trained on
heldout-bigram.npy  int32 [2, 32, 511]: for each pair of neighbours (a, b) in a row, how often
                    the training text has "a b", and how often it has "a"

The bigram model is p(b | a) = (count(a b) + 1) / (count(a) + vocabulary). Both models are scored
on the tokens 2..511 of each row: the first real token has no true predecessor in the row.
The forward pass is written out in numpy, in f32, apart from any framework.
"""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


def main(argv):
    folder = pathlib.Path(argv[0]) if argv else HERE / "tiny-llama"
    rows = np.load(HERE / "heldout.npy")
    pairs, singles = np.load(HERE / "heldout-bigram.npy").astype(np.float64)
    config = json.loads((folder / "config.json").read_text())
    weights = read_safetensors(folder / "model.safetensors")

    bigram = np.exp(-np.log((pairs + 1) / (singles + config["vocab_size"]))[:, 1:].mean())
    losses, hits = [], []
    for row in rows:
        logits = forward(weights, config, row[:-1])[1:]
        losses.append(logsumexp(logits) - logits[np.arange(len(row) - 2), row[2:]])
        hits.append(logits.argmax(-1) == row[2:])
    model = np.exp(np.mean(losses))
    print(f"positions           {np.size(losses)}")
    print(f"model perplexity    {model:.2f}")
    print(f"bigram perplexity   {bigram:.2f}")
    print(f"model / bigram      {model / bigram:.3f}  (at most 0.333)")
    print(f"model top-1 correct {np.mean(hits):.3f}")
    return 0 if model <= bigram / 3 else 1


def read_safetensors(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":  # the upper half of an f32
            bits = np.frombuffer(raw[begin:end], "<u2").astype(np.uint32) << 16
            values = bits.view(np.float32)
        else:
            values = np.frombuffer(raw[begin:end], {"F16": "<f2", "F32": "<f4"}[entry["dtype"]])
        tensors[name] = values.astype(np.float32).reshape(entry["shape"])
    return tensors


def forward(weights, config, tokens):
    """tokens [T] -> logits [T, vocabulary]; Llama as in transformers' modeling_llama."""
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size, count = config["head_dim"], len(tokens)
    angle = np.outer(np.arange(count),
                     config["rope_theta"] ** (-np.arange(0, size, 2, dtype=np.float64) / size))
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    future = np.triu(np.full((count, count), -np.inf, np.float32), 1)

    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        w = {name.removeprefix(f"model.layers.{layer}."): tensor
             for name, tensor in weights.items() if name.startswith(f"model.layers.{layer}.")}
        h = norm(x, w["input_layernorm.weight"], config)
        q, k, v = (split_heads(h @ w[f"self_attn.{p}_proj.weight"].T, size) for p in "qkv")
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (np.repeat(t, heads // kv_heads, axis=0) for t in (k, v))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(np.float32(size)) + future
        mixed = np.exp(scores - logsumexp(scores)[..., None]) @ v
        x = x + mixed.swapaxes(0, 1).reshape(count, -1) @ w["self_attn.o_proj.weight"].T
        h = norm(x, w["post_attention_layernorm.weight"], config)
        gate, up = h @ w["mlp.gate_proj.weight"].T, h @ w["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w["mlp.down_proj.weight"].T
    return norm(x, weights["model.norm.weight"], config) @ weights["lm_head.weight"].T


def norm(x, weight, config):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight


def split_heads(x, size):
    return x.reshape(len(x), -1, size).swapaxes(0, 1)


def rotate(x, cos, sin):
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def logsumexp(x):
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
