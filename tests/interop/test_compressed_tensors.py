#!/usr/bin/env python3
"""Compressed-tensors folders of the default model, opened by transformers.

For every preset and some recipes: compressed-tensors accepts the configuration,
transformers opens the folder, and three decoders agree bit for bit on every weight:
the compressed-tensors library, tests/interop/ct_decode.py and `compressctl compress`
back to a dense format.  Weight-only folders give the logits of the dense copy; no
tensor is worse than llm-compressor's round-to-nearest by more than 0.1 dB.
"""

import hashlib
import json
import sys

import numpy as np
import torch
from compressed_tensors.quantization import QuantizationConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import CompressedTensorsConfig

from ct_decode import compressed_names, decode_folder, load_folder, sqnr_db
from suite import ROOT, Suite

GOLDEN = ROOT / "tests/golden/llmcompressor_rtn.json"


def quantize(scheme, **more):
    return {"stages": [{"pass": "quantize", "scheme": scheme, **more}]}


def dense(scheme):
    """A recipe that decodes: back to a float format, on purpose."""
    return {**quantize(scheme), "requantize": True}


# name -> (recipe, formats of the groups, weight-only?)
CASES = {
    "int8": ("int8", {"pack-quantized"}, True),
    "int4-g128": ("int4-g128", {"pack-quantized"}, True),
    "w8a8": ("w8a8", {"int-quantized"}, False),
    "fp8": ("fp8", {"float-quantized"}, False),
    "int4 groups of 32, asymmetric": (
        quantize("int4", granularity="group", group_size=32, symmetric=False),
        {"pack-quantized"},
        True,
    ),
    "int8 groups of 64": (
        quantize("int8", granularity="group", group_size=64),
        {"pack-quantized"},
        True,
    ),
    "int8 channels, asymmetric": (
        quantize("int8", symmetric=False),
        {"pack-quantized"},
        True,
    ),
    "int4 with attention in int8": (
        quantize(
            "int4",
            granularity="group",
            group_size=128,
            keep=[{"match": "role:attn", "scheme": "int8"}],
        ),
        {"pack-quantized"},
        True,
    ),
    "int8 with attention in fp8": (
        quantize("int8", keep=[{"match": "role:attn", "scheme": "fp8_e4m3"}]),
        {"pack-quantized", "float-quantized"},
        False,
    ),
    "int4 with attention in f16": (
        quantize(
            "int4",
            granularity="group",
            group_size=128,
            keep=[{"match": "role:attn", "scheme": "f16"}],
        ),
        {"pack-quantized"},
        True,
    ),
}

# Positions whose logits are compared.
POSITIONS = 128


def open_model(folder, dtype="auto", **more):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **more).eval()


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits.to(torch.float32)


def same_bits(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    as_int = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(as_int), b.contiguous().view(as_int))


def others_whole(suite, name, out):
    """Files that are no weights come back as they were."""
    lost = []
    for path in sorted(suite.model.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".pt") or path.name in ("config.json", "README.md"):
            continue
        if path.name.endswith(".index.json"):
            continue
        copy = out / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            lost.append(path.name)
    suite.check(not lost, f"{name}: every other file of the folder is there, unchanged {lost or ''}")
    card = out / "README.md"
    text = card.read_text().lower() if card.exists() else ""
    said = name.split()[0].split("-")[0] in text and "compress" in text
    before = suite.model / "README.md"
    same = before.exists() and before.read_text().lower() == text
    suite.check(said and not same, f"{name}: a model card says what was done")


def check_config(suite, name, out, formats):
    before = json.loads((suite.model / "config.json").read_text())
    after = json.loads((out / "config.json").read_text())
    theirs = {k: v for k, v in after.items() if k != "quantization_config"}
    suite.check(theirs == before, f"{name}: config.json is the source's plus quantization_config")
    q = after["quantization_config"]
    parsed = QuantizationConfig.model_validate({k: v for k, v in q.items() if k != "quant_method"})
    seen = {g.format for g in parsed.config_groups.values()}
    wanted = {q["format"]} if q["format"] != "mixed-precision" else formats
    ok = q["quant_method"] == "compressed-tensors" and q["quantization_status"] == "compressed"
    suite.check(
        ok and {str(getattr(f, "value", f)) for f in seen} == formats == wanted,
        f"{name}: compressed-tensors accepts quantization_config, format {q['format']}",
    )


def check_sqnr(suite, name, out, report, original, decoded):
    """The report tells the truth; llm-compressor is not better."""
    golden = json.loads(GOLDEN.read_text())
    digest = hashlib.sha256((suite.model / "model.safetensors").read_bytes()).hexdigest()
    suite.check(
        golden["model_sha256"] == digest,
        f"{name}: {GOLDEN.name} is about this model (else run export_llmcompressor.py)",
    )
    said = {t["name"]: t["sqnr_db"] for t in report["tensors"] if t.get("sqnr_db") is not None}
    names = compressed_names(out)
    own = {n: sqnr_db(original[n], decoded[n]) for n in names}
    off = max(abs(said.get(n, -1e9) - own[n]) for n in names)
    suite.check(off < 0.01, f"{name}: the report's sqnr_db is what numpy finds (off {off:.4f} dB)")
    theirs = golden["sqnr_db"].get(name)
    if theirs is None:
        return
    worse = {n: own[n] - theirs[n] for n in theirs if n not in own or own[n] < theirs[n] - 0.1}
    mean = sum(own[n] - theirs[n] for n in theirs if n in own) / len(theirs)
    suite.check(
        not worse and len(theirs) > 0,
        f"{name}: no tensor of {len(theirs)} below llm-compressor's round-to-nearest - 0.1 dB, "
        f"mean difference {mean:+.2f} dB {dict(list(worse.items())[:3]) or ''}",
    )


def check_case(suite, name, original, ids):
    recipe, formats, weight_only = CASES[name]
    out = suite.dir / "out"
    report = suite.compress(suite.model, recipe, out)
    check_config(suite, name, out, formats)
    others_whole(suite, name, out)

    names = compressed_names(out)
    attention = name.endswith("attention in f16")
    linear = {n for n in original if original[n].dim() == 2 and "proj" in n}
    expect = {n for n in linear if "self_attn" not in n} if attention else linear
    suite.check(names == expect, f"{name}: {len(names)} of {len(linear)} Linear layers are quantized")

    # Four decoders of the same folder.
    decoded = decode_folder(out)
    model = open_model(out, quantization_config=CompressedTensorsConfig(dequantize=True))
    suite.check(model.dtype == torch.bfloat16, f"{name}: opens in transformers as {model.dtype}")
    theirs = model.state_dict()
    # (The library leaves the scales in the module beside the weight; what they are
    # called differs by version and says nothing about our file.)
    wrong = [
        n for n in original
        if n not in theirs or not same_bits(theirs[n], decoded[n].to(theirs[n].dtype))
    ]  # fmt: skip
    suite.check(
        not wrong and len(original) > 0,
        f"{name}: compressed-tensors' weights are the numpy decoder's, bit for bit {wrong[:3] or ''}",
    )
    copies = {}
    for scheme, dtype in (("bf16", torch.bfloat16), ("f32", torch.float32)):
        copies[scheme] = suite.dir / f"dense-{scheme}"
        suite.compress(out, dense(scheme), copies[scheme])
        ours = load_folder(copies[scheme])
        wrong = [n for n in expect if not same_bits(ours[n], decoded[n].to(dtype))]
        suite.check(
            not wrong and set(ours) == set(original),
            f"{name}: compressctl's own {scheme} decode is the same, bit for bit {wrong[:3] or ''}",
        )

    # What runs.
    run = logits(open_model(out), ids)
    plain = logits(open_model(copies["bf16"]), ids)
    before = logits(open_model(suite.model), ids)
    off = (run - plain).abs().max().item()
    if weight_only:
        suite.check(off <= 1e-5, f"{name}: logits are those of a dense copy (off {off:.1e})")
        run32 = logits(open_model(out, dtype=torch.float32), ids)
        plain32 = logits(open_model(copies["f32"], dtype=torch.float32), ids)
        off = (run32 - plain32).abs().max().item()
        suite.check(off <= 1e-5, f"{name}: and those of an f32 dense copy in f32 (off {off:.1e})")
    else:
        # Activations are quantized on the fly, so the logits differ by construction.
        same = (run.argmax(-1) == plain.argmax(-1)).float().mean().item()
        suite.check(same > 0.9, f"{name}: top-1 agreement {same:.1%} with a dense copy (off {off:.2f})")
    same = (run.argmax(-1) == before.argmax(-1)).float().mean().item()
    least = 0.75 if "int4" in name else 0.9
    suite.check(same > least, f"{name}: top-1 agreement {same:.1%} with the original model")
    check_sqnr(suite, name, out, report, original, decoded)


def check_float(suite, scheme, dtype, original, ids):
    out = suite.dir / "out"
    suite.compress(suite.model, scheme, out)
    others_whole(suite, scheme, out)
    ours = load_folder(out)
    wrong = [n for n in original if original[n].dim() == 2 and not same_bits(ours[n], original[n].to(dtype))]
    suite.check(
        not wrong and set(ours) == set(original),
        f"{scheme}: every matrix is torch's own conversion, bit for bit {wrong[:3] or ''}",
    )
    model = open_model(out)
    suite.check(model.dtype == dtype, f"{scheme}: opens in transformers as {model.dtype}")
    before = logits(open_model(suite.model), ids)
    same = (logits(model, ids).argmax(-1) == before.argmax(-1)).float().mean().item()
    suite.check(same > 0.98, f"{scheme}: top-1 agreement {same:.1%} with the original model")


def main():
    torch.set_num_threads(2)
    suite = Suite("compressed_tensors")
    heldout = np.load(suite.heldout).astype(np.int64).reshape(-1)
    ids = torch.from_numpy(heldout[:POSITIONS])[None]
    original = load_folder(suite.model)
    for scheme, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        with suite.section(scheme):
            check_float(suite, scheme, dtype, original, ids)
    for name in CASES:
        with suite.section(name):
            check_case(suite, name, original, ids)
    with suite.section("tokenizer"):
        out = suite.dir / "out"
        text = "In the beginning, it is a truth universally acknowledged."
        a = AutoTokenizer.from_pretrained(suite.model)(text).input_ids
        b = AutoTokenizer.from_pretrained(out)(text).input_ids
        suite.check(a == b and len(a) > 5, f"the tokenizer of an output folder works ({len(a)} tokens)")
    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
