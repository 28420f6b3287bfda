"""Writes fp4.json: a weight quantised by bitsandbytes itself (FP4, blocks of 64), for QuantizeTests.

Needs bitsandbytes beside PyTorch (pip install bitsandbytes); without it the committed file stays. On a machine without a GPU bitsandbytes
quantises with its reference code in PyTorch, which gives a zero either sign: codes 0 and 8 are the same number. How it dequantises there
(levels of four digits, blocks that do not straddle rows) is not how its CUDA kernel does, so that half is not taken from it.
Rows of 96 numbers, so that blocks straddle them, of sizes from 2e-4 to 2.
"""
import json
import os
import sys

import torch

try:
    import bitsandbytes
    from bitsandbytes import functional
except ImportError:
    sys.exit(print("make_fp4: bitsandbytes is not installed; fp4.json is left as it is"))

ROWS, COLUMNS = 6, 96
maker = torch.Generator().manual_seed(4)
sizes = torch.tensor([0.05, 0.7, 2e-4, 0.02, 2.0, 0.05]).unsqueeze(1)
weight = (torch.randn(ROWS, COLUMNS, generator=maker) * sizes).to(torch.float16)
packed, state = functional.quantize_4bit(weight, quant_type="fp4", blocksize=64)


def bits(x, as_type, mask):
    return [int(v) & mask for v in x.reshape(-1).view(as_type)]


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fp4.json")
with open(path, "w") as f:
    json.dump({"bitsandbytes": bitsandbytes.__version__, "shape": [ROWS, COLUMNS], "weight": bits(weight, torch.int16, 0xFFFF),
               "packed": [int(v) for v in packed.reshape(-1)], "absmax": bits(state.absmax, torch.int32, 0xFFFFFFFF)}, f, separators=(",", ":"))
    f.write("\n")
