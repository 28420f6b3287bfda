#!/usr/bin/env python3
"""PyTorch's `linear` at the shapes of a 7B decoder and, with --beside, our product in calls that take turns with its calls.

usage: torch_linear.py [--dtype bf16|fp16|fp32] [--rows 512,1024] [--repeat 7] [--beside build/bench/libkernels.so]
One JSON line for each shape; rates are medians. A call in turn is the only fair comparison on a machine that others use too: its speed
changes within a second.
"""
import argparse
import ctypes
import json
import time

from environment import TORCH, enter

enter(TORCH)
import torch  # noqa: E402

FAST, DTYPES = 1, {"fp32": (torch.float32, 0), "fp16": (torch.float16, 1), "bf16": (torch.bfloat16, 2)}  # hadpo_kernels.h


def our_product(library, threads, stored):
    """A function of y [M, N] float, x [M, K] float, w [N, K]."""
    kernels, why = ctypes.CDLL(library), ctypes.c_char_p()
    kernels.hk_pool_create.restype = ctypes.c_void_p
    pool = kernels.hk_pool_create(threads, 0, FAST, ctypes.byref(why))
    if not pool:
        raise SystemExit(f"no pool: {why.value.decode()}")
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    kernels.hk_matmul.argtypes = [pointer, ctypes.c_int, ctypes.c_int, size, size, size, pointer, size, pointer, ctypes.c_int, size,
                                  ctypes.c_float, pointer, size]

    def multiply(y, x, w):
        (m, k), n = x.shape, w.shape[0]
        if kernels.hk_matmul(pool, 0, 1, m, n, k, x.data_ptr(), k, w.data_ptr(), stored, k, 0.0, y.data_ptr(), n) != 0:
            raise SystemExit("hk_matmul: out of memory")
    return multiply


def seconds(call):
    time.sleep(0.005)  # the other side's threads stop spinning
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--dtype", default="bf16", choices=sorted(DTYPES))
parser.add_argument("--rows", default="512,1024")
parser.add_argument("--repeat", type=int, default=7)
parser.add_argument("--threads", type=int)
parser.add_argument("--beside", help="a library of the kernels (make build/bench/libkernels.so)")
arguments = parser.parse_args()
if arguments.threads:
    torch.set_num_threads(arguments.threads)
dtype, stored = DTYPES[arguments.dtype]
ours = our_product(arguments.beside, torch.get_num_threads(), stored) if arguments.beside else None
for rows in map(int, arguments.rows.split(",")):
    for inputs, outputs in ((4096, 4096), (4096, 11008), (11008, 4096)):
        x, w = torch.randn(rows, inputs), (torch.randn(outputs, inputs) * 0.02).to(dtype)
        rounded, y = x.to(dtype), torch.empty(rows, outputs)
        times, our_times = [], []
        with torch.inference_mode():
            for _ in range(arguments.repeat + 1):
                times.append(seconds(lambda: torch.nn.functional.linear(rounded, w)))
                if ours:
                    our_times.append(seconds(lambda: ours(y, x, w)))
            record = {"peer": f"torch {torch.__version__}", "kernel": "linear", "dtype": arguments.dtype,
                      "shape": f"{rows}x{outputs}x{inputs}", "threads": torch.get_num_threads()}
            work = 2 * rows * inputs * outputs / 1e9
            for name, found in (("gflops", times), ("our_gflops", our_times)):
                found = sorted(found[1:])  # the first call packs and chooses kernels
                if found:
                    record |= {name: round(work / found[len(found) // 2], 1), f"{name}_best": round(work / found[0], 1)}
            if ours:  # another result would be no comparison
                theirs = torch.nn.functional.linear(rounded, w).float()
                difference = float((y - theirs).abs().max() / theirs.std())
                # Each side rounds operands or result to 8 bits: at most 2^-9 of a result of six standard deviations, and sums of rounding.
                if not difference < 0.05:
                    raise SystemExit(f"{record['shape']}: results differ by {difference} standard deviations")
                record["largest_difference"] = round(difference, 4)
        print(json.dumps(record), flush=True)
