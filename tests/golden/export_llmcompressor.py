#!/usr/bin/env python3
"""Write llmcompressor_rtn.json: llm-compressor's round-to-nearest SQNR per tensor.

usage: export_llmcompressor.py MODEL [OUT.json]

Needs its own environment: pip install torch==2.13.0 llmcompressor==0.14.0.1 (which
pins an older transformers than the interoperability tests use); nothing else in the
tree needs it. Run again whenever the default model changes: the file names the
digest of the weights that it is about.

SQNR is 10 log10(sum x^2 / sum (x - x')^2) over the tensor, x' being code times
stored scale in f32, decoded by tests/interop/ct_decode.py.
"""

import hashlib
import importlib.metadata as metadata
import json
import sys
import tempfile
from pathlib import Path

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from transformers import AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from ct_decode import compressed_names, decode_folder, load_folder, sqnr_db  # noqa: E402

# Preset of ours -> scheme of theirs. Their "W8A16" means groups of 128; ours is a
# scale per channel, so that one is spelled out.
CHANNEL8 = QuantizationArgs(num_bits=8, type="int", strategy="channel", symmetric=True)
SCHEMES = {
    "int8": {"config_groups": {"g": QuantizationScheme(targets=["Linear"], weights=CHANNEL8)}},
    "int4-g128": {"scheme": "W4A16", "targets": ["Linear"]},
    "w8a8": {"scheme": "W8A8", "targets": ["Linear"]},
    "fp8": {"scheme": "FP8_DYNAMIC", "targets": ["Linear"]},
}


def main():
    model_dir = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "llmcompressor_rtn.json"
    original = load_folder(model_dir)
    schemes = {}
    for name, arguments in SCHEMES.items():
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="auto")
        oneshot(model=model, recipe=QuantizationModifier(ignore=["lm_head"], **arguments))
        with tempfile.TemporaryDirectory() as tmp:
            model.save_pretrained(tmp, save_compressed=True)
            decoded = decode_folder(tmp)
            rows = {n: round(sqnr_db(original[n], decoded[n]), 4) for n in compressed_names(tmp)}
        schemes[name] = dict(sorted(rows.items()))
    packages = ("llmcompressor", "compressed-tensors", "torch")
    doc = {
        "made_by": {p: metadata.version(p).split("+")[0] for p in packages},
        "model_sha256": hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest(),
        "unit": "dB",
        "sqnr_db": schemes,
    }
    out.write_text(json.dumps(doc, indent=1) + "\n")
    for name, rows in schemes.items():
        print(f"{name}: {len(rows)} tensors, {min(rows.values()):.2f} to {max(rows.values()):.2f} dB")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
