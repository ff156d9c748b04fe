"""ggml's own quantizer as a reference, called through ctypes.

The prebuilt library libggml-base.so inside npm's @node-llama-cpp/linux-x64
exports

    size_t ggml_quantize_chunk(enum ggml_type type, const float *src, void *dst,
                               int64_t start, int64_t nrows, int64_t n_per_row,
                               const float *imatrix);
    const struct ggml_type_traits *ggml_get_type_traits(enum ggml_type type);

so that the bytes ggml would write for a row can be had without building
anything.  The directory that tests/interop/setup.sh filled is named by the
environment variable INTEROP_DIR.

    ref = GgmlRef.open()
    blocks = ref.quantize("q4_0", rows)          # rows: f32 [nrows, n_per_row]
    values = ref.dequantize("q4_0", blocks, rows.size)
"""

import ctypes
import os
from pathlib import Path

import numpy as np

LIBRARY = "npm/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"

# name -> (enum ggml_type, values per block, bytes per block)
TYPES = {
    "f32": (0, 1, 4),
    "f16": (1, 1, 2),
    "q4_0": (2, 32, 18),
    "q4_1": (3, 32, 20),
    "q5_0": (6, 32, 22),
    "q5_1": (7, 32, 24),
    "q8_0": (8, 32, 34),
    "q2_k": (10, 256, 84),
    "q3_k": (11, 256, 110),
    "q4_k": (12, 256, 144),
    "q5_k": (13, 256, 176),
    "q6_k": (14, 256, 210),
    "iq4_nl": (20, 32, 18),
    "iq4_xs": (23, 256, 136),
}

TO_FLOAT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class TypeTraits(ctypes.Structure):
    _fields_ = [
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    ]


def type_name(number):
    """The lower-case name of an enum ggml_type, or None."""
    for name, row in TYPES.items():
        if row[0] == number:
            return name
    return None


class GgmlRef:
    def __init__(self, path):
        lib = ctypes.CDLL(str(path))
        lib.ggml_version.restype = ctypes.c_char_p
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        lib.ggml_quantize_chunk.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_void_p,
        ]
        lib.ggml_get_type_traits.restype = ctypes.POINTER(TypeTraits)
        lib.ggml_get_type_traits.argtypes = [ctypes.c_int]
        self.lib = lib
        self.version = lib.ggml_version().decode()
        # The table above is checked against the library: a renumbered or
        # re-laid-out struct must stop here, not give wrong references.
        for name, (number, block_len, block_bytes) in TYPES.items():
            traits = lib.ggml_get_type_traits(number).contents
            seen = (traits.type_name.decode().lower(), traits.blck_size, traits.type_size)
            if seen != (name, block_len, block_bytes):
                raise RuntimeError(f"ggml {self.version}: type {number} is {seen}, not {name}")

    @classmethod
    def open(cls):
        return cls(Path(os.environ["INTEROP_DIR"]) / LIBRARY)

    def quantize(self, name, rows):
        """The bytes (u8 [n]) ggml stores for f32 rows [nrows, n_per_row]."""
        number, block_len, block_bytes = TYPES[name]
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        nrows, n_per_row = rows.shape
        if n_per_row % block_len:
            raise ValueError(f"{name}: rows of {n_per_row} do not divide by {block_len}")
        out = np.zeros(rows.size // block_len * block_bytes, dtype=np.uint8)
        wrote = self.lib.ggml_quantize_chunk(
            number, rows.ctypes.data, out.ctypes.data, 0, nrows, n_per_row, None
        )
        if wrote != out.size:
            raise RuntimeError(f"{name}: ggml wrote {wrote} bytes, expected {out.size}")
        return out

    def dequantize(self, name, blocks, count):
        """The f32 values [count] that ggml reads from u8 blocks."""
        number, block_len, block_bytes = TYPES[name]
        blocks = np.ascontiguousarray(blocks, dtype=np.uint8).reshape(-1)
        if count % block_len or blocks.size != count // block_len * block_bytes:
            raise ValueError(f"{name}: {blocks.size} bytes are not {count} values")
        if name == "f32":
            return blocks.view(np.float32).copy()
        out = np.zeros(count, dtype=np.float32)
        traits = self.lib.ggml_get_type_traits(number).contents
        TO_FLOAT(traits.to_float)(blocks.ctypes.data, out.ctypes.data, count)
        return out
