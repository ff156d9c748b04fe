#!/usr/bin/env python3
"""Write tests/golden/ggml/: what ggml's own quantizer makes of fixed rows.

    INTEROP_DIR=... tests/golden/export_ggml.py

The layout is described in tests/golden/ggml/README.md.  Run twice, it writes
the same bytes: the inputs come from a fixed integer generator, not from a
library whose stream could change.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "interop"))
from ggml_ref import TYPES, GgmlRef  # noqa: E402

ROW = 256  # one super-block, eight legacy blocks
NAMES = [n for n in TYPES if n not in ("f32", "f16")]

# Where the f16 fields of a block stand; every other byte may be anything.
HALVES = {
    "q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0],
    "q2_k": [80, 82], "q3_k": [108], "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208],
    "iq4_nl": [0], "iq4_xs": [0],
}  # fmt: skip


class Stream:
    """SplitMix64: the same numbers wherever this script runs."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def uniform(self, count):
        return np.array([(self.next() >> 11) / 2.0**53 for _ in range(count)])

    def gauss(self, count):
        # Twelve uniforms: close enough to normal, and only additions, so that
        # no libm decides the last bit.
        return (self.uniform(12 * count).reshape(count, 12).sum(axis=1) - 6.0).astype(np.float32)

    def raw(self, count):
        return np.array([self.next() & 0xFF for _ in range(count)], dtype=np.uint8)


def bf16(x):
    """Round to bf16 (ties to even): what most model files hold."""
    bits = x.astype(np.float32).view(np.uint32)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def rows():
    """The input rows, [n, ROW] f32, each a case named in the README."""
    s = Stream(2026)
    k = np.arange(ROW)
    out = []

    def add(row):
        out.append(np.asarray(row, dtype=np.float32).reshape(ROW))

    for _ in range(3):
        add(s.gauss(ROW) * np.float32(0.02))
    for _ in range(3):
        add(bf16(s.gauss(ROW) * np.float32(0.05)))
    x = s.gauss(ROW) * np.float32(0.01)
    x[k % 37 == 5] *= 100
    add(x)
    x = s.gauss(ROW) * np.float32(0.01)
    x[77] = -8
    add(x)
    add(np.abs(s.gauss(ROW)))
    add(-np.abs(s.gauss(ROW)))
    add(s.gauss(ROW) * np.float32(0.1) + np.float32(3))
    add(np.zeros(ROW))
    add(np.where(k % 2 == 0, 0.0, -0.0))
    add(np.full(ROW, 0.3))
    add(np.full(ROW, -1.7))
    # Half zero, half values: whole blocks of zeros inside a super-block.
    x = s.gauss(ROW)
    x[(k // 32) % 2 == 0] = 0
    add(x)
    # Two equal magnitudes of both signs in every block: the first one wins.
    add(np.where(k % 2 == 0, 1.0, -1.0))
    add(np.where(k % 2 == 0, -1.0, 1.0))
    # Ties: codes that fall exactly between two integers.
    add((k % 32 - 16) * 0.5 + 0.25)
    add((k % 32 - 16) / 2.0)
    x = ((k * 7) % 255 - 127) + 0.5
    x[k % 32 == 0] = 127
    add(x)
    # Scales that are subnormal in f16, and that round to zero in f16.
    add(s.gauss(ROW) * np.float32(1e-6))
    add(s.gauss(ROW) * np.float32(1e-9))
    # Near and below the smallest normal f32, as far down as the inverse of
    # the scale stays finite (further down ggml converts Inf to an integer,
    # which C leaves undefined).
    x = s.gauss(ROW) * np.float32(1e-36)
    x[k % 2 == 1] *= np.float32(1e-4)
    x[k % 32 == 8] = np.float32(3e-36)
    add(x)
    # The largest magnitudes whose scales and minima still fit f16.
    add(s.gauss(ROW) * np.float32(10000))
    # Wide dynamic range inside every block.
    add(s.gauss(ROW) * np.power(np.float32(2), ((k % 32) - 24).astype(np.float32)))
    # One nonzero value a block, at a moving place.
    add(np.where(k % 32 == (k // 32) * 4 + 3, (-1.0) ** (k // 32) * 0.7, 0.0))
    return np.stack(out)


def raw_blocks(name, values):
    """Blocks of arbitrary bits with finite f16 fields."""
    _, block_len, block_bytes = TYPES[name]
    s = Stream(1000 + TYPES[name][0])
    blocks = s.raw(values // block_len * block_bytes).reshape(-1, block_bytes)
    for i, block in enumerate(blocks):
        for at in HALVES[name]:
            half = int(block[at]) | int(block[at + 1]) << 8
            if i == 0:
                half &= 0x83FF  # subnormal
            elif (half >> 10) & 31 == 31:
                half ^= 1 << 14  # Inf or NaN
            block[at], block[at + 1] = half & 0xFF, half >> 8
    return blocks.reshape(-1)


def main():
    ref = GgmlRef.open()
    out = HERE / "ggml"
    out.mkdir(exist_ok=True)
    x = rows()
    x.tofile(out / "rows.in.f32")
    for name in NAMES:
        blocks = ref.quantize(name, x)
        blocks.tofile(out / f"{name}.bytes")
        values = ref.dequantize(name, blocks, x.size)
        if not np.isfinite(values).all():
            raise RuntimeError(f"{name}: a value is not finite")
        values.tofile(out / f"{name}.out.f32")
        count = 8 * 256
        blocks = raw_blocks(name, count)
        blocks.tofile(out / f"{name}.raw.bytes")
        values = ref.dequantize(name, blocks, count)
        if not np.isfinite(values).all():
            raise RuntimeError(f"{name}: a raw value is not finite")
        values.tofile(out / f"{name}.raw.out.f32")
    size = sum(p.stat().st_size for p in out.iterdir())
    print(f"ggml {ref.version}: {len(NAMES)} formats, {x.shape[0]} rows of {ROW}, {size} bytes")


if __name__ == "__main__":
    main()
