#!/usr/bin/env python3
"""Write small GGUF files with the gguf package into tests/golden/gguf/.

usage: export_gguf.py OUT

Needs gguf (written with 0.19.0) and numpy. The models are no models: names and
keys of a Llama with a hidden size of 32, weights that count.
"""

import sys
from pathlib import Path

import gguf
import numpy as np

HIDDEN = 32
out = Path(sys.argv[1])
Q = gguf.GGMLQuantizationType


def counted(*shape):
    n = int(np.prod(shape))
    return (np.arange(n, dtype=np.float32) % 251 / 64 - 1.5).reshape(shape)


def tensors(vocab=12, odd=False):
    yield "token_embd.weight", counted(vocab, HIDDEN)
    yield "output_norm.weight", counted(HIDDEN)
    yield "blk.0.attn_norm.weight", counted(HIDDEN)
    yield "blk.0.attn_q.weight", counted(HIDDEN, HIDDEN)
    yield "blk.0.ffn_down.weight", counted(HIDDEN, 40 if odd else 64)
    yield "output.weight", counted(vocab, HIDDEN)


def keys(w, file_type):
    w.add_name("counted")
    w.add_block_count(1)
    w.add_context_length(128)
    w.add_embedding_length(HIDDEN)
    w.add_feed_forward_length(64)
    w.add_head_count(4)
    w.add_head_count_kv(2)
    if file_type is not None:
        w.add_file_type(file_type)
    w.add_tokenizer_model("gpt2")
    w.add_token_list([f"token {i}" for i in range(12)])
    w.add_token_types([1] * 12)
    # One key of every kind of value, so that a rewriter can be seen to keep them.
    w.add_uint8("test.u8", 200)
    w.add_int8("test.i8", -100)
    w.add_uint16("test.u16", 60000)
    w.add_int16("test.i16", -30000)
    w.add_uint32("test.u32", 4000000000)
    w.add_int32("test.i32", -2000000000)
    w.add_float32("test.f32", 0.1)
    w.add_bool("test.bool", True)
    w.add_uint64("test.u64", 1 << 60)
    w.add_int64("test.i64", -(1 << 60))
    w.add_float64("test.f64", 0.1)
    w.add_string("test.text", "with a \0 inside and \u00e9")
    w.add_array("test.empty_text", ["", "a", ""])
    w.add_array("test.bools", [True, False])


def write(name, type, file_type, alignment=None, odd=False, split=0, arch="llama"):
    w = gguf.GGUFWriter(None if split else out / name, arch, split_max_tensors=split)
    if alignment:
        w.add_custom_alignment(alignment)
    keys(w, file_type)
    for tensor, data in tensors(odd=odd):
        if data.ndim == 1 or type == Q.F32:
            w.add_tensor(tensor, data)
        elif type == Q.F16:
            w.add_tensor(tensor, data.astype(np.float16))
        else:
            w.add_tensor(tensor, gguf.quants.quantize(data, type), raw_dtype=type)
    w.write_header_to_file(path=out / name if split else None)
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


F = gguf.LlamaFileType
write("f32.gguf", Q.F32, F.ALL_F32)
write("f16.gguf", Q.F16, F.MOSTLY_F16, alignment=64)
write("q8_0.gguf", Q.Q8_0, F.MOSTLY_Q8_0)
write("bare.gguf", Q.F32, None, odd=True)
write("parts.gguf", Q.F32, F.ALL_F32, split=3)
