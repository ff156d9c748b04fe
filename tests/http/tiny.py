"""Small deterministic models and archives, written byte by byte, for the HTTP tests."""
import io
import json
import random
import struct
import tarfile
import zipfile


def safetensors(tensors, metadata=None):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values())


def npy(descr, shape, data):
    shape = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def npz(arrays, deflate=False):
    """arrays: {name: (descr, shape, bytes)}"""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as z:
        for name, array in arrays.items():
            z.writestr(zipfile.ZipInfo(name + ".npy"), npy(*array),
                       zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED)
    return out.getvalue()


def digits(samples=6, deflate=False):
    """Pictures of 2 x 2 and their classes."""
    return npz({"image": ("|u1", [samples, 2, 2], bytes(i % 256 for i in range(4 * samples))),
                "label": ("<i8", [samples], struct.pack(f"<{samples}q", *range(samples)))}, deflate)


def bf16(rows, cols, seed=0):
    rng = random.Random(seed)
    return b"".join(
        struct.pack("<f", rng.gauss(0, 0.05))[2:] for _ in range(rows * cols)
    )


def model(rows=64, cols=128, layers=2, seed=0):
    """Names as a Llama has them, so that presets find their layers."""
    tensors = {"model.embed_tokens.weight": ("BF16", [32, cols], bf16(32, cols, seed + 1000))}
    for i in range(layers):
        for j, part in enumerate(("self_attn.q_proj", "mlp.up_proj")):
            tensors[f"model.layers.{i}.{part}.weight"] = (
                "BF16",
                [rows, cols],
                bf16(rows, cols, seed + 10 * i + j),
            )
        tensors[f"model.layers.{i}.input_layernorm.weight"] = ("BF16", [cols], b"\x80\x3f" * cols)
    return safetensors(tensors)


def huge(megabytes, seed=7):
    """A model whose compression takes a while: one block repeated."""
    rows, cols = 4096, 4096
    block = bf16(64, cols, seed)
    tensors = {}
    for i in range(max(1, megabytes // 32)):
        tensors[f"model.layers.{i}.mlp.up_proj.weight"] = (
            "BF16",
            [rows, cols],
            block * (rows // 64),
        )
    return safetensors(tensors)


CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 32,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def folder():
    """path → bytes of a small Hugging Face folder."""
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": model(),
        "tokenizer.json": b'{"version":"1.0"}',
        "README.md": "# käse\n".encode(),
    }


def tar(members, prefix="", kind=None, link=None):
    """members: {path: bytes}; kind: a tarfile type for members without bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(prefix + path)
            if data is None:
                info.type = kind or tarfile.SYMTYPE
                info.linkname = link or "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _field(number, value):
    """One protobuf field: an int as a varint, else bytes."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def _value_info(name, *dims, dtype=1):
    shape = b"".join(_field(1, _field(1, d) if isinstance(d, int) else _field(2, d)) for d in dims)
    return _field(1, name) + _field(2, _field(1, _field(1, dtype) + _field(2, shape)))


def _weight(name, rows):
    data = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    return _field(5, _field(1, len(rows)) + _field(1, len(rows[0])) + _field(2, 1) + _field(8, name)
                  + _field(9, data))


def _node(op, name, ins, out):
    return _field(1, b"".join(_field(1, i) for i in ins) + _field(2, out) + _field(3, name)
                  + _field(4, op))


def _onnx(graph):
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))


def linear_onnx(rows):
    """y = x w as ONNX: x f32[batch, len(rows)], w given by rows."""
    return _onnx(_node("MatMul", "head", ["x", "w"], "y") + _field(2, "linear") + _weight("w", rows)
                 + _field(11, _value_info("x", "batch", len(rows)))
                 + _field(12, _value_info("y", "batch", len(rows[0]))))


def mlp_onnx(first, second):
    """y = Relu(x first) second as ONNX; the values between are h and r."""
    return _onnx(_node("MatMul", "first", ["x", "w1"], "h") + _node("Relu", "relu", ["h"], "r")
                 + _node("MatMul", "second", ["r", "w2"], "y") + _field(2, "mlp")
                 + _weight("w1", first) + _weight("w2", second)
                 + _field(11, _value_info("x", "batch", len(first)))
                 + _field(12, _value_info("y", "batch", len(second[0]))))


def embedding_onnx(tokens, width):
    """logits = wte[input_ids] wo as ONNX: input_ids i64[batch, seq]."""
    wte = [[(7 * t + 3 * i) % 5 - 2 for i in range(width)] for t in range(tokens)]
    wo = [[(4 * t + i) % 7 - 3 for t in range(tokens)] for i in range(width)]
    return _onnx(_node("Gather", "embed", ["wte", "input_ids"], "e")
                 + _node("MatMul", "head", ["e", "wo"], "logits") + _field(2, "lm")
                 + _weight("wte", wte) + _weight("wo", wo)
                 + _field(11, _value_info("input_ids", "batch", "seq", dtype=7))
                 + _field(12, _value_info("logits", "batch", "seq", tokens)))


def labelled(rows, labels, name="x"):
    """An .npz of f32 rows and their classes."""
    data = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    return npz({name: ("<f4", [len(rows), len(rows[0])], data),
                "label": ("<i8", [len(labels)], struct.pack(f"<{len(labels)}q", *labels))})
