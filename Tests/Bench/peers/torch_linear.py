#!/usr/bin/env python3
"""PyTorch's `linear` at the shapes of a 7B decoder: GFLOP/s, the median of several calls.

usage: torch_linear.py [--dtype bf16|fp16|fp32] [--rows 512,1024] [--repeat 7]
One JSON line for each shape.
"""
import argparse
import json
import time

from environment import TORCH, enter

enter(TORCH)
import torch  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp16", "fp32"])
parser.add_argument("--rows", default="512,1024")
parser.add_argument("--repeat", type=int, default=7)
parser.add_argument("--threads", type=int)
arguments = parser.parse_args()
if arguments.threads:
    torch.set_num_threads(arguments.threads)
dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[arguments.dtype]
for rows in map(int, arguments.rows.split(",")):
    for inputs, outputs in ((4096, 4096), (4096, 11008), (11008, 4096)):
        x, w = torch.randn(rows, inputs).to(dtype), (torch.randn(outputs, inputs) * 0.02).to(dtype)
        times = []
        with torch.inference_mode():
            for _ in range(arguments.repeat + 1):
                start = time.perf_counter()
                torch.nn.functional.linear(x, w)
                times.append(time.perf_counter() - start)
        times = sorted(times[1:])  # the first call packs and chooses kernels
        work = 2 * rows * inputs * outputs / 1e9
        print(json.dumps({
            "peer": f"torch {torch.__version__}", "kernel": "linear", "dtype": arguments.dtype, "shape": f"{rows}x{outputs}x{inputs}",
            "threads": torch.get_num_threads(), "gflops": round(work / times[len(times) // 2], 1),
            "gflops_best": round(work / times[0], 1)}), flush=True)
