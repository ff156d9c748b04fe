#!/usr/bin/env python3
"""Containers: split safetensors, bare files, diffusers folders, PyTorch files.

Every output is read with the safetensors package and compared with what torch makes
of the source.
"""

import json
import shutil
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from ct_decode import load_folder
from suite import Failed, Suite
from test_compressed_tensors import dense, quantize, same_bits


REFUSED = 3  # compressctl's exit code before any work


def differing(ours, want):
    """Names whose tensors are not the same bits; a missing name counts."""
    names = set(ours) | set(want)
    return sorted(n for n in names if n not in ours or n not in want or not same_bits(ours[n], want[n]))


def as_float(tensors, dtype):
    """What a float preset promises: matrices in dtype, the rest as it was."""
    return {
        n: t.to(dtype) if t.is_floating_point() and t.dim() >= 2 else t for n, t in tensors.items()
    }


def relaxed(ours, want, dtype):
    """differing(), but 1-D tensors may be in 16 or 32 bits."""
    again = dict(want)
    for n, t in want.items():
        if n in ours and t.is_floating_point() and t.dim() < 2 and ours[n].dtype == dtype:
            again[n] = t.to(dtype)
    return differing(ours, again)


def split(source, folder, count):
    """The model of a folder in `count` files with an index, as transformers writes it."""
    tensors = load_folder(source)
    shutil.copytree(source, folder)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    where = {}
    for i in range(count):
        file = f"model-{i + 1:05}-of-{count:05}.safetensors"
        mine = {n: tensors[n] for n in names[i::count]}
        save_file(mine, folder / file, metadata={"format": "pt"})
        where.update({n: file for n in mine})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return tensors


def check_split(suite):
    source = suite.dir / "split"
    split(suite.model, source, 3)
    for preset in ("int8", "int4-g128", "fp8", "f16"):
        with suite.section(f"split {preset}"):
            check_split_preset(suite, source, preset)


def check_split_preset(suite, source, preset):
    out, whole = suite.dir / "split-out", suite.dir / "whole-out"
    suite.compress(source, preset, out)
    suite.compress(suite.model, preset, whole)
    files = sorted(p.name for p in out.glob("*.safetensors"))
    suite.check(len(files) == 3, f"{preset}: three files stay three: {files}")
    ours = load_folder(out)  # raises when index and files disagree
    wrong = differing(ours, load_folder(whole))
    suite.check(not wrong, f"{preset}: split and whole models give the same tensors {wrong[:3] or ''}")
    index = json.loads((out / "model.safetensors.index.json").read_text())
    total = sum(t.numel() * t.element_size() for t in ours.values())
    seen = index.get("metadata", {}).get("total_size")
    suite.check(seen == total, f"{preset}: the index counts {total} bytes (seen: {seen})")
    AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    suite.check(True, f"{preset}: the split output opens in transformers")


def check_bare(suite):
    source, out = suite.dir / "bare.safetensors", suite.dir / "bare-out.safetensors"
    torch.manual_seed(1)
    tensors = {
        "a.weight": torch.randn(48, 256),
        "a.bias": torch.randn(48),
        "conv.weight": torch.randn(8, 4, 3, 3),
        "half.weight": torch.randn(16, 64).to(torch.float16),
        "brain.weight": torch.randn(16, 64).to(torch.bfloat16),
        "count": torch.tensor([1, -2, 2**40]),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 7),
        "naïve.wörd": torch.ones(3, 5),
    }
    save_file(tensors, source, metadata={"format": "pt", "note": "kept, with \"quotes\" and ü"})
    for scheme, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        suite.compress(source, scheme, out)
        wrong = relaxed(load_file(out), as_float(tensors, dtype), dtype)
        suite.check(not wrong, f"bare file to {scheme}: torch's own conversion {wrong or ''}")
        with safe_open(out, framework="pt") as f:
            kept = f.metadata() or {}
        suite.check(
            kept.get("format") == "pt" and "ü" in kept.get("note", ""),
            f"bare file to {scheme}: __metadata__ kept",
        )


def check_diffusers(suite):
    source, out = suite.dir / "pipeline", suite.dir / "pipeline-out"
    torch.manual_seed(2)
    parts = {
        "unet/diffusion_pytorch_model.safetensors": {
            "conv_in.weight": torch.randn(8, 4, 3, 3),
            "conv_in.bias": torch.randn(8),
            "down.0.attn.to_q.weight": torch.randn(64, 64),
        },
        "vae/diffusion_pytorch_model.safetensors": {
            "decoder.conv.weight": torch.randn(8, 8, 3, 3),
            "decoder.norm.weight": torch.randn(8),
        },
        "text_encoder/model.safetensors": {
            "text_model.embeddings.token_embedding.weight": torch.randn(100, 32),
            "text_model.encoder.layers.0.self_attn.q_proj.weight": torch.randn(32, 32),
            "text_model.encoder.layers.0.self_attn.q_proj.bias": torch.randn(32),
        },
    }
    texts = {
        "model_index.json": {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.30.0",
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        "unet/config.json": {"_class_name": "UNet2DConditionModel", "in_channels": 4},
        "vae/config.json": {"_class_name": "AutoencoderKL", "latent_channels": 4},
        "text_encoder/config.json": {"architectures": ["CLIPTextModel"], "hidden_size": 32},
        "tokenizer/vocab.json": {"a": 0, "b": 1},
        "scheduler/scheduler_config.json": {"_class_name": "DDIMScheduler"},
    }
    for name, doc in texts.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(json.dumps(doc, indent=2))
    for name, tensors in parts.items():
        save_file(tensors, source / name, metadata={"format": "pt"})

    def check(recipe, converted, title):
        suite.compress(source, recipe, out)
        lost = sorted(
            str(p.relative_to(source))
            for p in source.rglob("*")
            if p.is_file() and not (out / p.relative_to(source)).exists()
        )
        suite.check(not lost, f"{title}: the folder comes back whole {lost or ''}")
        kept = [
            n for n in texts
            if not n.endswith("/config.json") and json.loads((out / n).read_text()) != texts[n]
        ]  # fmt: skip
        suite.check(not kept, f"{title}: the other files say what they said {kept or ''}")
        for name, tensors in parts.items():
            component = name.split("/")[0]
            dtype = converted.get(component)
            want = as_float(tensors, dtype) if dtype else tensors
            wrong = relaxed(load_file(out / name), want, dtype)
            suite.check(not wrong, f"{title}: {component} is {dtype or 'as it was'} {wrong or ''}")

    f16, bf16 = torch.float16, torch.bfloat16
    check(
        {"parts": {"unet": "f16", "vae": "f16", "text_encoder": "f16"}},
        {"unet": f16, "vae": f16, "text_encoder": f16},
        "diffusers, all parts f16",
    )
    check(
        {"parts": {"unet": quantize("bf16"), "text_encoder": "f16"}},
        {"unet": bf16, "text_encoder": f16},
        "diffusers, two parts",
    )
    suite.refused(
        source,
        {"parts": {"unet": "int8"}},
        out,
        {"diffusers", "int8", "unet"},
        "diffusers: integers are refused",
    )


def check_pytorch(suite):
    torch.manual_seed(3)
    big = torch.randn(40, 64)
    state = {
        "plain.weight": torch.randn(48, 256),
        "brain.weight": torch.randn(48, 256).to(torch.bfloat16),
        "half.weight": torch.randn(16, 64).to(torch.float16),
        "parameter.weight": torch.nn.Parameter(torch.randn(8, 32)),
        "slice.weight": big[3:19],
        "shared.weight": big,
        "shared.again": big,
        "plain.bias": torch.randn(48),
        "positions": torch.arange(7),
        "mask": torch.tensor([True, False, True]),
        "bytes": torch.arange(9, dtype=torch.uint8),
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
    }
    path, out = suite.dir / "model.bin", suite.dir / "model.safetensors"
    torch.save(state, path)
    want = {n: t.detach().contiguous() for n, t in torch.load(path, weights_only=True).items()}
    exact = as_float(want, torch.float32)
    with suite.section("torch.save"):
        suite.compress(path, dense("f32"), out)
        wrong = relaxed(load_file(out), exact, torch.float32)
        suite.check(not wrong, f"torch.save: {len(want)} tensors are what torch.load gives {wrong or ''}")

    torch.save({"brain.weight": state["brain.weight"]}, path)
    with suite.section("torch.save of bf16"):
        suite.compress(path, "bf16", out)
        wrong = differing(load_file(out), {"brain.weight": state["brain.weight"]})
        suite.check(not wrong, f"torch.save of bf16 to bf16: the same bits {wrong or ''}")

    torch.save({"state_dict": state, "epoch": 3}, path)
    with suite.section("a nested state_dict"):
        suite.compress(path, dense("f32"), out)
        wrong = relaxed(load_file(out), exact, torch.float32)
        suite.check(not wrong, f"a checkpoint with a state_dict inside reads the same {wrong or ''}")

    # Before torch 1.6 the file was a row of pickles, no zip. Right values or a clear no.
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with suite.section("the old container"):
        try:
            suite.compress(path, dense("f32"), out)
        except Failed as e:
            suite.check(
                e.status == REFUSED and "PyTorch 1.6" in e.said and not out.exists(),
                f"the pre-zip torch.save is refused with advice: {str(e)[-200:]}",
            )
        else:
            wrong = relaxed(load_file(out), exact, torch.float32)
            suite.check(not wrong, f"the pre-zip torch.save reads the same {wrong or ''}")

    # A view that no run of bytes in the file holds: named, with advice.
    torch.save({"a.weight": big, "transposed.weight": torch.randn(32, 8).t()}, path)
    suite.refused(
        path, "f16", out, {"transposed.weight"}, "a tensor with other strides is refused by name"
    )

    class Evil:
        def __reduce__(self):
            return (print, ("this must not be printed",))

    torch.save({"plain.weight": state["plain.weight"], "x": Evil()}, path)
    suite.refused(path, "f16", out, {"print", "pickle", "global"}, "a pickle that calls a function is refused")


def check_pytorch_folder(suite):
    source, out, want_dir = suite.dir / "bin", suite.dir / "bin-out", suite.dir / "st-out"
    tensors = load_folder(suite.model)
    shutil.copytree(suite.model, source)
    (source / "model.safetensors").unlink()
    torch.save(tensors, source / "pytorch_model.bin")
    for preset in ("bf16", "int8"):
        suite.compress(suite.model, preset, want_dir)
        want = load_folder(want_dir)
        suite.compress(source, preset, out)
        wrong = differing(load_folder(out), want)
        left = sorted(p.name for p in out.glob("*.bin*"))
        suite.check(
            not wrong and not left,
            f"pytorch_model.bin to {preset}: the tensors a safetensors source gives {wrong[:3] or left or ''}",
        )

    (source / "pytorch_model.bin").unlink()
    names = sorted(tensors)
    where = {}
    for i in range(2):
        file = f"pytorch_model-{i + 1:05}-of-00002.bin"
        torch.save({n: tensors[n] for n in names[i::2]}, source / file)
        where.update({n: file for n in names[i::2]})
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (source / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    suite.compress(source, "int8", out)
    wrong = differing(load_folder(out), want)
    files = sorted(p.name for p in out.iterdir() if ".bin" in p.name or p.suffix == ".safetensors")
    suite.check(
        not wrong and len(files) == 2,
        f"split pytorch files to int8: the same tensors in {files} {wrong[:3] or ''}",
    )
    AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    suite.check(True, "split pytorch files to int8: transformers opens the result")


def main():
    torch.set_num_threads(2)
    suite = Suite("safetensors")
    for title, part in (
        ("split safetensors", check_split),
        ("bare safetensors", check_bare),
        ("diffusers folder", check_diffusers),
        ("PyTorch file", check_pytorch),
        ("PyTorch folder", check_pytorch_folder),
    ):
        with suite.section(title):
            part(suite)
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
