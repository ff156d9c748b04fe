#!/usr/bin/env python3
"""Forward passes beside ONNX Runtime: the same models, inputs and threads, turn about.

usage: bench_forward.py BUILD [--dir DIR] [--models NAME,...] [--threads 1,2] [--runs 30]
                        [--pin] [--profile]

Needs torch, onnx, onnxruntime and numpy (written with 2.13, 1.23, 1.32 and 2.4). Exports the
models to DIR once, with random weights: a ResNet-18, a MobileNetV2, a U-Net with GroupNorm and
attention, four layers of a BERT-base encoder (attention as MatMul and Softmax, operator set 17)
and a small GPT (attention as the Attention operator, operator set 23).

Every line is the median of --runs runs, and in brackets the fastest of them; both sides run in short bursts that take turns, so that
whatever else the machine does hits both. "empty loop" is what two threads gain on a loop of
multiply-adds that touches no memory, measured in the same bursts; "of it" is our gain divided by
that one, "ORT's" ONNX Runtime's: what models that read memory can have on this machine. --pin keeps every thread of both sides on a core of its own: on a machine with other work
a thread that wakes is else put beside the one that woke it. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the environment of both sides.
Not a test: it fails only when the outputs differ by more than 1e-3 of their largest value.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS"):
    os.environ.pop(name, None)

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

BURST = 5
CORES = os.sched_getaffinity(0)


def resnet18(nn, F):
    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.c1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
            self.n1 = nn.BatchNorm2d(b)
            self.c2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.n2 = nn.BatchNorm2d(b)
            self.short = None
            if stride != 1 or a != b:
                self.short = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False),
                                           nn.BatchNorm2d(b))

        def forward(self, x):
            y = self.n2(self.c2(F.relu(self.n1(self.c1(x)))))
            return F.relu(y + (self.short(x) if self.short else x))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
              nn.MaxPool2d(3, 2, 1)]
    a = 64
    for b, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(a, b, stride), Block(b, b, 1)]
        a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def mobilenet(nn, F):
    def conv(a, b, kernel, stride=1, groups=1, act=True):
        parts = [nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False),
                 nn.BatchNorm2d(b)]
        return parts + ([nn.ReLU6()] if act else [])

    class Block(nn.Module):
        def __init__(self, a, b, stride, grow):
            super().__init__()
            wide = a * grow
            parts = conv(a, wide, 1) if grow != 1 else []
            parts += conv(wide, wide, 3, stride, wide) + conv(wide, b, 1, act=False)
            self.body, self.same = nn.Sequential(*parts), stride == 1 and a == b

        def forward(self, x):
            return x + self.body(x) if self.same else self.body(x)

    layers, a = conv(3, 32, 3, 2), 32
    for grow, b, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                   (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            layers.append(Block(a, b, stride if i == 0 else 1, grow))
            a = b
    layers += conv(320, 1280, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def unet(nn, F):
    class Res(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.n1, self.c1 = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, padding=1)
            self.n2, self.c2 = nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, padding=1)
            self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

        def forward(self, x):
            y = self.c1(F.silu(self.n1(x)))
            return self.skip(x) + self.c2(F.silu(self.n2(y)))

    class Attn(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm, self.qkv, self.out = nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(
                c, c, 1)

        def forward(self, x):
            b, c, h, w = x.shape
            q, k, v = self.qkv(self.norm(x)).reshape(b, 3, 4, c // 4, h * w).unbind(1)
            p = F.softmax(q.transpose(-1, -2) @ k * (c // 4) ** -0.5, -1)
            return x + self.out((v @ p.transpose(-1, -2)).reshape(b, c, h, w))

    class Net(nn.Module):
        def __init__(self, c=64):
            super().__init__()
            self.head = nn.Conv2d(4, c, 3, padding=1)
            self.d1, self.s1 = Res(c, c), nn.Conv2d(c, c, 3, 2, 1)
            self.d2, self.s2 = Res(c, 2 * c), nn.Conv2d(2 * c, 2 * c, 3, 2, 1)
            self.m1, self.at, self.m2 = Res(2 * c, 4 * c), Attn(4 * c), Res(4 * c, 2 * c)
            self.u2, self.u1 = Res(4 * c, c), Res(2 * c, c)
            self.norm, self.tail = nn.GroupNorm(8, c), nn.Conv2d(c, 4, 3, padding=1)

        def forward(self, x):
            a = self.d1(self.head(x))
            b = self.d2(self.s1(a))
            m = self.m2(self.at(self.m1(self.s2(b))))
            y = self.u2(self.join(m, b))
            y = self.u1(self.join(y, a))
            return self.tail(F.silu(self.norm(y)))

        def join(self, x, skip):
            import torch

            return torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1)

    return Net()


def transformer(nn, F, layers, width, heads, vocab, causal, positions):
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def attend(self, x):
            b, t, _ = x.shape
            q, k, v = (f(x).view(b, t, heads, width // heads).transpose(1, 2)
                       for f in (self.q, self.k, self.v))
            if causal:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                y = F.softmax(q @ k.transpose(-1, -2) / (width // heads) ** 0.5, -1) @ v
            return self.o(y.transpose(1, 2).reshape(b, t, width))

        def forward(self, x):
            if causal:  # norms before, as in GPT-2
                x = x + self.attend(self.n1(x))
                return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))
            x = self.n1(x + self.attend(x))
            return self.n2(x + self.down(F.gelu(self.up(x))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(vocab, width), nn.Parameter(
                0.02 * nn.init.normal_(nn.Parameter(nn.Linear(width, positions).weight.detach())))
            self.layers = nn.Sequential(*(Layer() for _ in range(layers)))
            self.norm = nn.LayerNorm(width)
            self.out = nn.Linear(width, vocab, bias=False) if causal else nn.Identity()

        def forward(self, ids):
            return self.out(self.norm(self.layers(self.words(ids) + self.places)))

    return Net()


MODELS = {
    "resnet18": ("conv", lambda nn, F: resnet18(nn, F), (1, 3, 224, 224), 17, False),
    "mobilenetv2": ("conv", lambda nn, F: mobilenet(nn, F), (1, 3, 224, 224), 17, False),
    "unet": ("conv", lambda nn, F: unet(nn, F), (1, 4, 64, 64), 17, False),
    "bert4": ("transformer", lambda nn, F: transformer(nn, F, 4, 768, 12, 5000, False, 128),
              (1, 128), 17, False),
    "gpt6": ("transformer", lambda nn, F: transformer(nn, F, 6, 384, 6, 4096, True, 256),
             (1, 256), 23, True),
}
WANTED = {"conv": 0.4, "transformer": 0.7}


def export(name, path):
    import torch
    import torch.nn.functional as F

    _, make, shape, opset, dynamo = MODELS[name]
    torch.manual_seed(1)
    model = make(torch.nn, F).eval()
    for module in model.modules():  # statistics that are not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    x = torch.randint(0, 4000, shape) if len(shape) == 2 else torch.randn(shape)
    torch.onnx.export(model, (x,), str(path), opset_version=opset, dynamo=dynamo,
                      input_names=["x"], output_names=["y"],
                      **({"external_data": False} if dynamo else {}))
    x.numpy().tofile(path.with_suffix(".bin"))


class Ours:
    def __init__(self, program, path, x):
        kind = "i64" if x.dtype == np.int64 else "f32"
        dims = ",".join(map(str, x.shape))
        self.process = subprocess.Popen(
            [program, path, f"x:{kind}:{dims}:{path.with_suffix('.bin')}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, CORES))

    def ask(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench_forward ended")
        return line.strip()

    def run(self, threads, count, what="run"):
        return [float(t) for t in self.ask(f"{what} {threads} {count}").split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Theirs:
    def __init__(self, path, x, threads, pinned):
        options = ort.SessionOptions()
        if pinned and threads > 1:
            cores = ";".join(str(core + 1) for core in range(1, threads))
            options.add_session_config_entry("session.intra_op_thread_affinities", cores)
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.feed = {"x": x}

    def run(self, count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self.y = self.session.run(None, self.feed)[0]
            times.append((time.perf_counter() - start) * 1e3)
        return times


def measure(name, args, threads_list):
    kind, _, shape, _, _ = MODELS[name]
    path = args.dir / f"{name}.onnx"
    if not path.exists():
        export(name, path)
    dtype = np.int64 if len(shape) == 2 else np.float32
    x = np.fromfile(path.with_suffix(".bin"), dtype).reshape(shape)
    ours = Ours(args.build / "tests/bench/bench_forward", path, x)
    for t in threads_list:  # a team counts the cores it may use when it starts
        ours.run(t, 1)
    for t in threads_list if args.pin else ():
        ours.ask(f"pin {t}")
    if args.profile:
        for t in threads_list:
            print(f"{name}, {t}: {ours.ask(f'profile {t} 10')}")
    theirs = {t: Theirs(path, x, t, args.pin) for t in threads_list}
    for t in threads_list:
        ours.run(t, 2)
        theirs[t].run(2)
    ours.run(1, 1)
    saved = path.with_suffix(".out")
    ours.ask(f"save {saved}")
    want = next(iter(theirs.values())).y
    got = np.fromfile(saved, np.float32).reshape(want.shape)
    off = float(np.abs(got - want).max() / np.abs(want).max())
    a = {t: [] for t in threads_list}
    b = {t: [] for t in threads_list}
    empty = {t: [] for t in threads_list}
    while len(a[threads_list[0]]) < args.runs:
        for t in threads_list:
            a[t] += ours.run(t, BURST)
            empty[t] += ours.run(t, BURST, "loop")
            b[t] += theirs[t].run(BURST)
            time.sleep(0.01)  # its threads spin for a moment
    ours.close()
    first = statistics.median(a[threads_list[0]])
    idle = statistics.median(empty[threads_list[0]])
    their_first = statistics.median(b[threads_list[0]])
    for t in threads_list:
        mine, other = statistics.median(a[t]), statistics.median(b[t])
        gain, free = first / mine, idle / statistics.median(empty[t])
        more = f"{gain:6.2f} {free:8.2f} {gain / free:6.2f} {their_first / other / free:6.2f}"
        more = more if t != threads_list[0] else ""
        least, other_least = min(a[t]), min(b[t])
        print(f"{name:12} {t:3} {mine:8.2f} ({least:7.2f}) {other:8.2f} ({other_least:7.2f}) "
              f"{other / mine:6.2f} ({other_least / least:4.2f}) {WANTED[kind]:5.1f} {off:8.1e} {more}",
              flush=True)
    return off


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("build", type=Path)
    p.add_argument("--dir", type=Path, default=Path("bench-models"))
    p.add_argument("--models", default=",".join(MODELS))
    p.add_argument("--threads", default="1,2")
    p.add_argument("--runs", type=int, default=30)
    p.add_argument("--pin", action="store_true")
    p.add_argument("--profile", action="store_true")
    args = p.parse_args()
    if args.pin:
        os.sched_setaffinity(0, {0})
    args.dir.mkdir(parents=True, exist_ok=True)
    print(f"onnxruntime {ort.__version__}; OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE unset; "
          f"medians of {args.runs}{', pinned' if args.pin else ''}; load {os.getloadavg()[0]:.1f}")
    print("model        thr  ours, ms  (least)  ORT, ms  (least)  ratio      wanted     off   "
          "gain    empty  of it  ORT's")
    worst = max(measure(name, args, [int(t) for t in args.threads.split(",")])
                for name in args.models.split(","))
    return 0 if worst < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
