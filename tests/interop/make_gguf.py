#!/usr/bin/env python3
"""Write a float GGUF of a Llama-architecture Hugging Face folder.

usage: make_gguf.py MODEL OUT.gguf [--type f32|f16|bf16] [--alignment N] [--extras]

For the tests only: it knows one architecture and one tokenizer family (byte-level
BPE with GPT-2's pre-tokenizer).  --extras adds one key of every GGUF value type,
so that a test can see whether a program that rewrites the file keeps them.
"""

import argparse
import json
import sys
from pathlib import Path

import gguf
import torch
from safetensors import safe_open

# Hugging Face name -> GGUF name; {} is the layer.
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
}


def name_map(layers):
    names = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for i in range(layers):
        for hf, short in LAYER.items():
            names[f"model.layers.{i}.{hf}.weight"] = f"blk.{i}.{short}.weight"
    return names


def permute(w, heads):
    """Rows of q and k from Hugging Face's half-split rotary order to adjacent pairs."""
    rows, cols = w.shape
    return w.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def write_tokenizer(out, model, vocab_size):
    doc = json.loads((model / "tokenizer.json").read_text())
    bpe = doc["model"]
    if bpe["type"] != "BPE":
        raise SystemExit(f"{model}: tokenizer is {bpe['type']}, not BPE")
    # llama.cpp's "gpt-2" splits with GPT-2's regular expression, which is what a
    # ByteLevel pre-tokenizer with use_regex does.
    pre = doc["pre_tokenizer"]
    if pre["type"] != "ByteLevel" or not pre.get("use_regex", True) or pre["add_prefix_space"]:
        raise SystemExit(f"{model}: not GPT-2's pre-tokenizer: {pre}")
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    types = [gguf.TokenType.UNUSED] * vocab_size
    for text, i in bpe["vocab"].items():
        tokens[i], types[i] = text, gguf.TokenType.NORMAL
    for token in doc.get("added_tokens", []):
        tokens[token["id"]] = token["content"]
        special = token["special"]
        types[token["id"]] = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(types)
    out.add_token_merges(merges)
    template = json.dumps(doc.get("post_processor") or {})
    out.add_add_bos_token('"SpecialToken"' in template and '"<s>"' in template)


def write_extras(out):
    kind = gguf.GGUFValueType
    extras = [
        ("u8", 200, kind.UINT8), ("i8", -100, kind.INT8),
        ("u16", 60000, kind.UINT16), ("i16", -30000, kind.INT16),
        ("u32", 4000000000, kind.UINT32), ("i32", -2000000000, kind.INT32),
        ("u64", 2**64 - 3, kind.UINT64), ("i64", -(2**63) + 5, kind.INT64),
        ("f32", 0.1, kind.FLOAT32), ("f64", 0.1, kind.FLOAT64),
        ("bool", True, kind.BOOL), ("string", "zwölf\nBoxkämpfer", kind.STRING),
        ("empty", "", kind.STRING),
    ]  # fmt: skip
    for name, value, value_type in extras:
        out.add_key_value(f"test.{name}", value, value_type)
    out.add_array("test.strings", ["", "one", "zwei"])
    out.add_array("test.ints", [-1, 0, 1])
    out.add_array("test.floats", [0.5, -2.0])
    out.add_array("test.bools", [True, False, True])


def convert(model, path, kind="f16", alignment=None, extras=False, encode=None, split=0):
    """Write the folder `model` to `path` as a GGUF file.

    encode: called with the f32 rows of a matrix, returns its bytes (u8 [rows, n]) and
    their gguf.GGMLQuantizationType; otherwise matrices are stored as `kind`.
    split: tensors per file; then the files are named by gguf's convention.
    """
    model = Path(model)
    config = json.loads((model / "config.json").read_text())
    if config["model_type"] != "llama" or config.get("tie_word_embeddings"):
        raise SystemExit(f"{model}: only untied Llama models are known here")
    heads = config["num_attention_heads"]
    kv_heads = config["num_key_value_heads"]
    head_dim = config["head_dim"]
    rope = config.get("rope_parameters") or config

    out = gguf.GGUFWriter(str(path), "llama", split_max_tensors=split)
    if alignment:
        out.add_custom_alignment(alignment)
    out.add_name(model.name)
    out.add_license("see the folder the model came from")
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_key_length(head_dim)
    out.add_value_length(head_dim)
    out.add_rope_dimension_count(head_dim)
    out.add_rope_freq_base(rope["rope_theta"])
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_vocab_size(config["vocab_size"])
    out.add_file_type(FILE_TYPES[kind])
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_tokenizer(out, model, config["vocab_size"])
    if config.get("bos_token_id") is not None:
        out.add_bos_token_id(config["bos_token_id"])
    if isinstance(config.get("eos_token_id"), int):
        out.add_eos_token_id(config["eos_token_id"])
    if extras:
        write_extras(out)

    names = name_map(config["num_hidden_layers"])
    with safe_open(model / "model.safetensors", framework="pt") as f:
        missing = set(names) ^ set(f.keys())
        if missing:
            raise SystemExit(f"{model}: unexpected set of tensors: {sorted(missing)[:5]}")
        for hf, short in names.items():
            w = f.get_tensor(hf).to(torch.float32)
            if hf.endswith("q_proj.weight"):
                w = permute(w, heads)
            elif hf.endswith("k_proj.weight"):
                w = permute(w, kv_heads)
            w = w.contiguous()
            if w.dim() > 1 and encode:
                raw, raw_dtype = encode(w.numpy())
                out.add_tensor(short, raw, raw_dtype=raw_dtype)
            elif w.dim() == 1 or kind == "f32":
                out.add_tensor(short, w.numpy())
            elif kind == "f16":
                out.add_tensor(short, w.to(torch.float16).numpy())
            else:
                raw = w.to(torch.bfloat16).view(torch.uint8).reshape(w.shape[0], -1).numpy()
                out.add_tensor(short, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
    out.write_header_to_file(path=path)
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("model")
    ap.add_argument("out")
    ap.add_argument("--type", default="f16", choices=FILE_TYPES)
    ap.add_argument("--alignment", type=int)
    ap.add_argument("--extras", action="store_true")
    a = ap.parse_args()
    convert(a.model, a.out, a.type, a.alignment, a.extras)


if __name__ == "__main__":
    sys.exit(main())
