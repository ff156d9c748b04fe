"""Decode a compressed-tensors folder with numpy and torch alone.

An implementation of its own, written from the format's description and sharing
code neither with the program under test nor with the compressed-tensors library,
so that the three can be compared.

    weights = decode_folder("out")     # name of the dense tensor -> f32 torch tensor

Values are code times scale in f32; compressed-tensors itself rounds the product to
the scale's type (round_to() below does the same).

    <m>.weight_packed  I32 [R, ceil(C*bits/32)]  lowest bits first, q + 2^(bits-1)
    <m>.weight_shape   I64 [2]                   R, C
    <m>.weight         I8 or F8_E4M3 [R, C]
    <m>.weight_scale   [R, groups], [R, 1] or [1]
    <m>.weight_zero_point  I8 as the scale; packed: I32 [ceil(R*bits/32), groups],
                           packed down the rows with the same offset
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open


def load_folder(folder):
    """Every tensor of a folder's safetensors files, split or not: name -> tensor."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    files = ["model.safetensors"]
    where = None
    if index.exists():
        where = json.loads(index.read_text())["weight_map"]
        files = sorted(set(where.values()))
    tensors = {}
    for file in files:
        with safe_open(folder / file, framework="pt") as f:
            for name in f.keys():
                if where is not None and where.get(name) != file:
                    raise ValueError(f"{name} stands in {file}, the index says {where.get(name)}")
                if name in tensors:
                    raise ValueError(f"{name} stands in two files")
                tensors[name] = f.get_tensor(name)
    if where is not None and set(where) != set(tensors):
        raise ValueError(f"index and files differ: {sorted(set(where) ^ set(tensors))[:3]}")
    return tensors


def unpack_words(words, count, bits):
    """i32 words [n, w] to signed codes [n, count]."""
    per_word = 32 // bits
    words = words.numpy().view(np.uint32)
    shifts = (np.arange(per_word, dtype=np.uint32) * bits)[None, None, :]
    codes = (words[:, :, None] >> shifts) & np.uint32((1 << bits) - 1)
    codes = codes.reshape(words.shape[0], -1)[:, :count]
    return torch.from_numpy(codes.astype(np.int32) - (1 << (bits - 1)))


def decode_module(parts):
    """One Linear's stored parts -> f32 [R, C]."""
    scale = parts["weight_scale"].to(torch.float32)
    zero = parts.get("weight_zero_point")
    if "weight_packed" in parts:
        rows, cols = (int(n) for n in parts["weight_shape"])
        bits = parts["weight_packed"].shape[1] * 32 // cols
        if bits not in (4, 8):
            raise ValueError(f"{bits} bits a code")
        codes = unpack_words(parts["weight_packed"], cols, bits)
        if zero is not None:
            zero = unpack_words(zero.T.contiguous(), rows, bits).T
    else:
        codes = parts["weight"]
        rows, cols = codes.shape
    codes = codes.to(torch.float32)
    groups = 1 if scale.numel() == 1 else scale.shape[1]
    per_row = scale.reshape(-1, groups)
    codes = codes.reshape(rows, groups, cols // groups)
    if zero is not None:
        codes = codes - zero.to(torch.float32).reshape(-1, groups)[:, :, None]
    return (codes * per_row[:, :, None]).reshape(rows, cols)


def decode_folder(folder):
    tensors = load_folder(folder)
    modules = {n.removesuffix(".weight_scale") for n in tensors if n.endswith(".weight_scale")}
    parts = {m: {} for m in modules}
    dense = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if module in parts and part.startswith("weight"):
            parts[module][part] = tensor
        else:
            dense[name] = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    for module, stored in parts.items():
        dense[f"{module}.weight"] = decode_module(stored)
    return dense


def compressed_names(folder):
    """Names of the dense tensors that are stored with a scale."""
    tensors = load_folder(folder)
    return {n.removesuffix("_scale") for n in tensors if n.endswith(".weight_scale")}


def sqnr_db(original, decoded):
    """10 log10(sum x^2 / sum (x - x')^2), in f64."""
    x = original.to(torch.float64)
    noise = (x - decoded.to(torch.float64)).square().sum().item()
    return float("inf") if noise == 0 else 10 * np.log10(x.square().sum().item() / noise)
