#!/usr/bin/env python3
"""How long compressing takes, against copying the same file.

usage: bench_compress.py COMPRESSCTL [--dir DIR] [--gb 2] [--recipe int8] [--threads 2] [--runs 3]

Makes a bf16 safetensors file of the shape of a Llama-7B's layers, then alternates
`cat SRC > COPY && sync COPY` with `compressctl compress` (verification and the artifact's
SHA-256 included) and prints both, with the peak resident set of the process (wait4).
The source is in the page cache for both when memory allows. Needs DIR to hold three times
the file. Not a test: nothing fails when the machine is slow.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

LAYER = [
    ("self_attn.q_proj", 4096, 4096),
    ("self_attn.k_proj", 4096, 4096),
    ("self_attn.v_proj", 4096, 4096),
    ("self_attn.o_proj", 4096, 4096),
    ("mlp.gate_proj", 11008, 4096),
    ("mlp.up_proj", 11008, 4096),
    ("mlp.down_proj", 4096, 11008),
]
BLOCK = 1 << 24


def random_block():
    """16 Mi bf16 numbers: random sign and mantissa, magnitudes from 2^-9 to 2^-5."""
    exponents = bytes((0x80 if b & 1 else 0) | (0x3B + (b >> 1) % 2) for b in range(256))
    block = bytearray(2 * BLOCK)
    block[0::2] = os.urandom(BLOCK)
    block[1::2] = os.urandom(BLOCK).translate(exponents)
    return bytes(block)


def make(path, bytes_wanted):
    header, at, layer = {}, 0, 0
    while at < bytes_wanted:
        for name, rows, cols in LAYER:
            end = at + 2 * rows * cols
            header[f"model.layers.{layer}.{name}.weight"] = {
                "dtype": "BF16",
                "shape": [rows, cols],
                "data_offsets": [at, end],
            }
            at = end
            if at >= bytes_wanted:
                break
        layer += 1
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = random_block()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        left = at
        while left:
            left -= f.write(block[: min(left, len(block))])
        f.flush()
        os.fsync(f.fileno())


def timed(argv):
    """Seconds, peak resident bytes and CPU seconds of a whole process.

    The kernel counts the parent's memory at the moment of exec into the child's peak, so this
    process must stay small: the source is made by another one.
    """
    start = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    if child.returncode:
        sys.exit(f"{argv} left with {child.returncode}")
    return seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def main():
    p = argparse.ArgumentParser()
    p.add_argument("compressctl")
    p.add_argument("--dir", default=".")
    p.add_argument("--gb", type=float, default=2.0)
    p.add_argument("--recipe", default="int8")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--make", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.make:
        make(args.make, int(args.gb * 1e9))
        return

    folder = Path(args.dir)
    source = folder / "bench-source.safetensors"
    copy = folder / "bench-copy.safetensors"
    out = folder / "bench-out.safetensors"
    report = folder / "bench-report.json"
    maker = [sys.executable, __file__, args.compressctl, "--make", str(source)]
    subprocess.run(maker + ["--gb", str(args.gb)], check=True)
    size = source.stat().st_size
    print(f"source: {size / 1e9:.2f} GB bf16, recipe {args.recipe}, {args.threads} threads")
    print(f"{'run':>4} {'copy+sync s':>12} {'compress s':>11} {'CPU s':>7} {'peak MB':>8}")
    copies, runs, peaks = [], [], []
    try:
        for i in range(args.runs):
            copied, _, _ = timed(["sh", "-c", f"cat '{source}' > '{copy}' && sync '{copy}'"])
            copy.unlink()
            argv = [args.compressctl, "compress", str(source), "--recipe", args.recipe]
            argv += ["--output", str(out), "--threads", str(args.threads), "--quiet"]
            argv += ["--report", str(report)]
            seconds, peak, cpu = timed(argv)
            out_bytes = out.stat().st_size
            out.unlink()
            copies.append(copied)
            runs.append(seconds)
            peaks.append(peak)
            print(f"{i + 1:>4} {copied:>12.2f} {seconds:>11.2f} {cpu:>7.2f} {peak / 1e6:>8.1f}")
        stages = json.loads(report.read_text())["stages"]
    finally:
        for path in (source, copy, out, report):
            path.unlink(missing_ok=True)
    copied, seconds = statistics.median(copies), statistics.median(runs)
    for s in stages:
        print(
            f"last run: {s['name']} {s['seconds']:.2f} s, buffers {s['peak_bytes'] / 1e6:.1f} MB"
            f" (predicted {s['predicted_bytes'] / 1e6:.1f})"
        )
    print(
        f"median: copy {copied:.2f} s, compress {seconds:.2f} s = {seconds / copied:.2f} x,"
        f" peak {max(peaks) / 1e6:.1f} MB, out {out_bytes / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
