#!/usr/bin/env python3
"""GGUF files of the default model in llama.cpp, in the gguf package, against ggml.

A float GGUF of the default model goes through `compressctl compress` with the
presets of the legacy block formats.  llama.cpp must load each result and predict
the same next tokens; the gguf package must find every key and tensor again; the
stored blocks must be the bytes ggml's own quantizer writes.
"""

import sys

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ggml_ref import TYPES, GgmlRef
from make_gguf import convert
from suite import Suite

WINDOW = 250
WINDOWS = 4  # 1,000 positions

# scheme -> (general.file_type, least top-1 agreement with the float file or None)
SCHEMES = {
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, 0.97),
    "q5_1": (gguf.LlamaFileType.MOSTLY_Q5_1, 0.85),
    "q4_0": (gguf.LlamaFileType.MOSTLY_Q4_0, 0.80),
    "q5_0": (gguf.LlamaFileType.MOSTLY_Q5_0, None),
    "q4_1": (gguf.LlamaFileType.MOSTLY_Q4_1, None),
}

# Formats that are read and not written.
DECODED = ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs")

# Split into tokens the same way by llama.cpp and by tokenizers.
TEXT = "In the beginning, it's 1813;\n\n  \"Mr. Darcy's naïve\tcousin\"  paid £10,000 -- said she'll…"

# Keys a program that requantizes has to set itself.
OURS = {"general.file_type", "general.quantization_version"}


def header(reader):
    """What stands in the file apart from the tensors: key -> (types, value)."""
    return {
        name: (tuple(field.types), field.contents())
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }


def as_f32(tensor):
    """A float tensor's values as the rows ggml sees: [rows, row length]."""
    rows = tensor.data.reshape(-1, int(tensor.shape[0]))
    return np.ascontiguousarray(rows).astype(np.float32)


def check_file(suite, ref, scheme, source, path):
    """Everything about the file that does not need it to be run."""
    number, _ = SCHEMES[scheme]
    reader = gguf.GGUFReader(path)
    before, after = header(source), header(reader)
    lost = [k for k in before if k not in OURS and after.get(k) != before[k]]
    suite.check(not lost, f"{scheme}: all {len(before)} keys kept, with their types {lost[:3] or ''}")
    added = [k for k in after if k not in before and not k.startswith("general.")]
    suite.check(not added, f"{scheme}: no key added outside general.* {added[:3] or ''}")
    seen = after.get("general.file_type", (None, None))[1]
    suite.check(seen == number, f"{scheme}: general.file_type is {int(number)} (seen: {seen})")
    seen = after.get("general.quantization_version", (None, None))[1]
    suite.check(seen == gguf.GGML_QUANT_VERSION, f"{scheme}: general.quantization_version (seen: {seen})")
    seen = int(reader.fields["GGUF.version"].parts[-1][0])
    suite.check(seen == 3, f"{scheme}: GGUF version 3 (seen: {seen})")

    alignment = before.get("general.alignment", (None, 32))[1]
    offsets = [int(t.field.parts[-1][0]) for t in reader.tensors]
    aligned = reader.data_offset % alignment == 0 and all(o % alignment == 0 for o in offsets)
    suite.check(aligned, f"{scheme}: tensor data on multiples of {alignment}")
    ends = [t.data_offset + t.n_bytes for t in reader.tensors]
    suite.check(max(ends) <= path.stat().st_size, f"{scheme}: every tensor lies inside the file")

    names = [t.name for t in source.tensors]
    ours = {t.name: t for t in reader.tensors}
    suite.check([t.name for t in reader.tensors] == names, f"{scheme}: same tensors in the same order")
    wrong_type, wrong_bytes, blocks = [], [], 0
    for t in source.tensors:
        o = ours[t.name]
        if len(t.shape) == 1:
            same = o.tensor_type == t.tensor_type and o.data.tobytes() == t.data.tobytes()
            wrong_bytes += [] if same else [t.name]
            continue
        if o.tensor_type.name.lower() != scheme or list(o.shape) != list(t.shape):
            wrong_type.append(f"{t.name} is {o.tensor_type.name}")
            continue
        want = ref.quantize(scheme, as_f32(t))
        got = np.frombuffer(o.data.tobytes(), dtype=np.uint8)
        blocks += want.size
        if not np.array_equal(got, want):
            wrong_bytes.append(t.name)
    suite.check(not wrong_type, f"{scheme}: every 2-D tensor is {scheme} {wrong_type[:3] or ''}")
    suite.check(
        not wrong_bytes and blocks > 0,
        f"{scheme}: {blocks} bytes as ggml_quantize_chunk writes them {wrong_bytes[:3] or ''}",
    )


def check_decoder(suite, ref, scheme):
    """A file of blocks that are only read: decoded to f32, ggml's values."""
    number = gguf.GGMLQuantizationType(TYPES[scheme][0])
    path, out = suite.dir / "source.gguf", suite.dir / "decoded.gguf"
    stored = []

    def encode(rows):
        blocks = ref.quantize(scheme, rows)
        stored.append(ref.dequantize(scheme, blocks, rows.size))
        return blocks.reshape(rows.shape[0], -1), number

    convert(suite.model, path, encode=encode)
    names = [t.name for t in gguf.GGUFReader(path).tensors if t.tensor_type == number]
    recipe = {"stages": [{"pass": "quantize", "scheme": "f32"}], "requantize": True}
    suite.compress(path, recipe, out)
    ours = {t.name: t for t in gguf.GGUFReader(out).tensors}
    wrong = [n for n, want in zip(names, stored) if ours[n].data.tobytes() != want.tobytes()]
    count = sum(want.size for want in stored)
    suite.check(
        not wrong and len(names) == len(stored) > 0,
        f"{scheme}: {count} decoded values are ggml's, bit for bit {wrong[:3] or ''}",
    )


def main():
    suite = Suite("llama_cpp")
    ref = GgmlRef.open()
    suite.note(f"ggml {ref.version}")
    ids = np.load(suite.heldout).astype(int).reshape(-1)
    windows = [ids[i * WINDOW : (i + 1) * WINDOW].tolist() for i in range(WINDOWS)]
    top1 = {}

    def agreement(a, b):
        pairs = [x == y for u, v in zip(top1[a], top1[b]) for x, y in zip(u, v)]
        return sum(pairs) / len(pairs), len(pairs)

    with suite.section("the float files themselves"):
        # This proves make_gguf.py, so that what follows judges compressctl alone.
        path = suite.dir / "f32.gguf"
        convert(suite.model, path, "f32")
        answer = suite.llama(model=str(path), windows=windows, logits=32, f32_cache=True)
        top1["f32"] = answer["top1"]
        model = AutoModelForCausalLM.from_pretrained(suite.model, dtype=torch.float32)
        with torch.no_grad():
            logits = model(torch.tensor(windows)).logits
        top1["transformers"] = logits.argmax(-1).tolist()
        off = (torch.tensor(answer["logits"]) - logits[0, :32]).abs().max().item()
        suite.check(off < 1e-3, f"llama.cpp's logits of the f32 file are transformers' (off {off:.1e})")
        share, count = agreement("f32", "transformers")
        suite.check(share >= 0.995, f"f32 file: top-1 agreement {share:.1%} with transformers, {count} positions")
        nll = np.mean([n for window in answer["nll"] for n in window])
        suite.note(f"f32 file: {nll:.4f} nats a token on held-out text")

        seen = suite.llama(model=str(path), prompts=[TEXT], new_tokens=1)["prompt_tokens"][0]
        tokenizer = AutoTokenizer.from_pretrained(suite.model)
        want = tokenizer(TEXT, add_special_tokens=False).input_ids
        suite.check(seen == want, f"llama.cpp splits text into transformers' {len(want)} tokens")

        path = suite.dir / "f16.gguf"
        convert(suite.model, path, "f16", extras=True)
        top1["f16"] = suite.llama(model=str(path), windows=windows)["top1"]

    source = gguf.GGUFReader(suite.dir / "f16.gguf")
    for scheme, (_, least) in SCHEMES.items():
        with suite.section(f"gguf-{scheme}"):
            out = suite.dir / f"{scheme}.gguf"
            suite.compress(suite.dir / "f16.gguf", f"gguf-{scheme}", out)
            check_file(suite, ref, scheme, source, out)
            if least is None:
                continue
            answer = suite.llama(model=str(out), windows=windows)
            top1[scheme] = answer["top1"]
            nll = np.mean([n for window in answer["nll"] for n in window])
            share, count = agreement("f16", scheme)
            suite.check(
                share >= least and count >= 1000,
                f"{scheme}: llama.cpp ({answer['type']}): top-1 agreement {share:.1%} "
                f"(at least {least:.0%}) over {count} positions, {nll:.4f} nats a token",
            )

    for kind, alignment in (("bf16", 64), ("f32", 128)):
        with suite.section(f"{kind} source, alignment {alignment}"):
            path = suite.dir / "aligned.gguf"
            convert(suite.model, path, kind, alignment=alignment)
            out = suite.dir / "aligned-q8_0.gguf"
            suite.compress(path, "gguf-q8_0", out)
            reader = gguf.GGUFReader(out)
            seen = header(reader).get("general.alignment")
            suite.check(seen and seen[1] == alignment, f"general.alignment {alignment} kept (seen: {seen})")
            on = all(t.data_offset % alignment == 0 for t in reader.tensors)
            suite.check(on, f"tensor data on multiples of {alignment} in the file")
            answer = suite.llama(model=str(out), windows=windows[:1])
            same = np.mean(np.array(answer["top1"][0]) == np.array(top1["f32"][0]))
            suite.check(same >= 0.96, f"q8_0 of the {kind} file runs: top-1 agreement {same:.1%}")

    for scheme in DECODED:
        with suite.section(f"{scheme} source"):
            check_decoder(suite, ref, scheme)

    with suite.section("GGUF version 2"):
        # Little-endian version 2 differs from 3 in the number alone.
        raw = bytearray((suite.dir / "f16.gguf").read_bytes())
        raw[4] = 2
        (suite.dir / "v2.gguf").write_bytes(raw)
        suite.compress(suite.dir / "v2.gguf", "gguf-q4_0", suite.dir / "v2-q4_0.gguf")
        same = (suite.dir / "v2-q4_0.gguf").read_bytes() == (suite.dir / "q4_0.gguf").read_bytes()
        suite.check(same, "a version 2 source gives the same version 3 file")

    with suite.section("split file"):
        folder, out = suite.dir / "split", suite.dir / "split-out"
        folder.mkdir()
        convert(suite.model, folder / "model.gguf", "f16", extras=True, split=17)
        suite.compress(folder, "gguf-q4_0", out)
        names = sorted(p.name for p in folder.iterdir())
        suite.check(
            sorted(p.name for p in out.glob("*.gguf")) == names and len(names) == 3,
            f"a split model stays split: {names}",
        )
        ours = [t for n in names for t in gguf.GGUFReader(out / n).tensors]
        whole = {t.name: t.data.tobytes() for t in gguf.GGUFReader(suite.dir / "q4_0.gguf").tensors}
        wrong = [t.name for t in ours if whole.pop(t.name, None) != t.data.tobytes()]
        suite.check(not wrong and not whole, f"its tensors are the whole file's {wrong[:3] or ''}")
        answer = suite.llama(model=str(out / names[0]), windows=windows[:1])
        suite.check(answer["top1"][0] == top1["q4_0"][0], "llama.cpp runs it like the whole file")

    return suite.done()


if __name__ == "__main__":
    sys.exit(main())
