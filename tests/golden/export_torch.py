#!/usr/bin/env python3
"""Write small checkpoints with torch.save, good and bad, into tests/golden/pytorch/.

usage: export_torch.py OUT

Needs torch (written with 2.13.0). Weights count up from 1, so a test knows every value.
"""

import collections
import sys
from pathlib import Path

import torch
from torch import nn

out = Path(sys.argv[1])
next_value = 1


def counted(*shape, dtype=torch.float32):
    """A tensor whose elements go on where those of the one before ended."""
    global next_value
    n = 1
    for d in shape:
        n *= d
    t = torch.arange(next_value, next_value + n, dtype=torch.float32).reshape(shape).to(dtype)
    next_value += n
    return t


def counted_module():
    global next_value
    next_value = 1
    m = nn.Sequential(collections.OrderedDict(fc=nn.Linear(4, 3), bn=nn.BatchNorm1d(3)))
    for p in m.parameters():
        p.data = counted(*p.shape)
    return m


def save(name, value, **options):
    torch.save(value, out / name, **options)


module = counted_module()
save("state_dict.pt", module.state_dict())
save("protocol4.pt", module.state_dict(), pickle_protocol=4)
save("protocol5.pt", module.state_dict(), pickle_protocol=5)
save("legacy.bin", module.state_dict(), _use_new_zipfile_serialization=False)
save("module.pt", module)

optimizer = torch.optim.AdamW(module.parameters())
module(torch.ones(5, 4)).sum().backward()
optimizer.step()
module = counted_module()
save("training.pt", {"model": module.state_dict(), "optimizer": optimizer.state_dict(),
                     "step": 7, "loss": 0.5, "shape": torch.Size([1, 2]),
                     "device": torch.device("cpu"), "done": False, "note": None})

next_value = 1
nested = {"encoder": {"layers": [{"w": counted(2, 2)}, {"w": counted(2, 2)}]},
          "decoder": {"w": counted(2)}, 7: {"w": counted(1)}}
save("nested.pt", nested)

next_value = 1
types = {
    "f64": counted(2, dtype=torch.float64),
    "f32": counted(2, dtype=torch.float32),
    "f16": counted(2, dtype=torch.float16),
    "bf16": counted(2, dtype=torch.bfloat16),
    "f8_e4m3": counted(2, dtype=torch.float8_e4m3fn),
    "f8_e5m2": counted(2, dtype=torch.float8_e5m2),
    "i64": counted(2, dtype=torch.int64),
    "i32": counted(2, dtype=torch.int32),
    "i16": counted(2, dtype=torch.int16),
    "i8": counted(2, dtype=torch.int8),
    "u64": counted(2, dtype=torch.uint64),
    "u32": counted(2, dtype=torch.uint32),
    "u16": counted(2, dtype=torch.uint16),
    "u8": counted(2, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "c64": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64),
    "scalar": torch.tensor(3.0),
    "empty": torch.empty(0, 3),
}
save("types.pt", types)

next_value = 1
weight = counted(3, 4)
parameter = nn.Parameter(counted(2, 2))
with_state = nn.Parameter(counted(2))
with_state.tag = "kept by Python"
save("shared.pt", {"embed.weight": weight, "head.weight": weight, "view": weight[1:],
                   "parameter": parameter, "with_state": with_state})

save("transposed.pt", {"w": counted(3, 4).t()})
save("strided.pt", {"w": counted(3, 4)[:, :2]})
save("conjugate.pt", {"w": torch.ones(2, dtype=torch.complex64).conj()})
save("list.pt", [counted(2)])
save("no_tensors.pt", {"epoch": 3})
save("six_dims.pt", {"w": counted(1, 2, 1, 2, 1, 2)})
save("nine_dims.pt", {"w": counted(1, 1, 1, 1, 1, 1, 1, 1, 2)})


class Exploit:
    def __reduce__(self):
        import os
        return os.system, ("echo it ran",)


save("exploit.pt", {"w": counted(2), "x": Exploit()})
