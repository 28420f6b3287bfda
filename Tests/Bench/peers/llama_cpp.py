#!/usr/bin/env python3
"""llama.cpp at the shape of LLaVA-1.5-7B's decoder: prompt and decoding speed.

usage: llama_cpp.py [--types bf16,q8_0,q4_0] [--prompt 640] [--generate 32] [--repeat 1] [--layers 32] [--keep]
       llama_cpp.py --prepare            builds llama-bench and writes the files, nothing else

Decoding is measured where ours is: behind the prompt, whose keys every token reads.

The source is the llama.cpp that the source distribution of llama-cpp-python on PyPI carries, built for this processor
(GGML_NATIVE: the compiler's -march=native, which includes AMX where the processor has it). The weights are random blocks in
GGUF files under build/peers/llama; --keep leaves them there. One JSON line for each type and test.
"""
import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from environment import BUILD, GGUF, enter

enter(GGUF)
import gguf  # noqa: E402
import numpy as np  # noqa: E402

VERSION = "0.3.36"
HOME = BUILD / "peers" / "llama"
OPTIONS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DGGML_CCACHE=OFF", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF",
           "-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_SERVER=OFF",
           "-DLLAMA_BUILD_TOOLS=ON",
           # GCC 12 tells its optimiser that ldtilecfg reads 8 bytes of 64 and drops the other stores: AMX code then dies of SIGILL.
           "-DCMAKE_CXX_FLAGS=-fno-tree-dse -fno-dse"]
D, FFN, HEADS, VOCABULARY = 4096, 11008, 32, 32064
Q = gguf.GGMLQuantizationType
TYPES = {"f32": Q.F32, "f16": Q.F16, "bf16": Q.BF16, "q8_0": Q.Q8_0, "q4_0": Q.Q4_0}


def build():
    """llama-bench, from the source distribution."""
    tool = HOME / "cmake" / "bin" / "llama-bench"
    if tool.exists():
        return tool
    HOME.mkdir(parents=True, exist_ok=True)
    archive = HOME / f"llama_cpp_python-{VERSION}.tar.gz"
    if not archive.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "-d", HOME,
                        f"llama-cpp-python=={VERSION}"], check=True)
    source = HOME / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"
    if not source.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(HOME, filter="data")
        # Files dated later than the clock make the build configure itself for ever.
        for path in source.rglob("*"):
            if path.is_file():
                os.utime(path, (time.time() - 3600,) * 2)
    cmake = Path(sys.executable).with_name("cmake")
    with open(HOME / "build.log", "w") as log:
        for command in ([cmake, "-S", source, "-B", HOME / "cmake", "-G", "Unix Makefiles", *OPTIONS],
                        [cmake, "--build", HOME / "cmake", "--target", "llama-bench", "-j", str(os.cpu_count())]):
            print("running", *command[:3], "...", file=sys.stderr, flush=True)
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return tool


def scaled_blocks(count, size, scale_at, scale, rng):
    """`count` blocks of `size` random bytes with an fp16 scale inside."""
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[:, scale_at:scale_at + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return blocks.reshape(-1)


def random_bytes(kind, values, rng):
    """A tensor of `values` random numbers of about 0.02, as bytes of the type."""
    if kind == Q.F32:
        return (rng.standard_normal(values, dtype=np.float32) * 0.02 + 1).astype("<f4").view(np.uint8)
    if kind in (Q.F16, Q.BF16):
        # One block drawn, repeated: 13 GB of fresh normal numbers would take minutes.
        drawn = rng.standard_normal(min(values, 1 << 22), dtype=np.float32) * np.float32(0.02)
        half = drawn.astype("<f2").view(np.uint16) if kind == Q.F16 else (drawn.view(np.uint32) >> 16).astype(np.uint16)
        return np.resize(half, values).view(np.uint8)
    if kind == Q.Q8_0:
        return np.resize(scaled_blocks(min(values // 32, 1 << 17), 34, 0, 0.02 / 74, rng), values // 32 * 34)
    if kind == Q.Q4_0:
        return np.resize(scaled_blocks(min(values // 32, 1 << 17), 18, 0, 0.02 / 4.6, rng), values // 32 * 18)
    if kind == Q.Q6_K:
        blocks = scaled_blocks(min(values // 256, 1 << 14), 210, 208, 0.02 / 1400, rng)
        return np.resize(blocks, values // 256 * 210)
    raise ValueError(kind)


def tensors(kind, layers):
    # llama-quantize keeps the output matrix of a Q4_0 file in Q6_K.
    yield "token_embd.weight", (VOCABULARY, D), kind
    yield "output_norm.weight", (D,), Q.F32
    yield "output.weight", (VOCABULARY, D), Q.Q6_K if kind == Q.Q4_0 else kind
    for n in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{n}.{name}.weight", (D,), Q.F32
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{n}.{name}.weight", (D, D), kind
        for name, shape in (("ffn_gate", (FFN, D)), ("ffn_up", (FFN, D)), ("ffn_down", (D, FFN))):
            yield f"blk.{n}.{name}.weight", shape, kind


def write_model(path, kind, layers):
    rng = np.random.Generator(np.random.SFC64(0))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(D)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(D // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    entries = list(tensors(kind, layers))
    sizes = []
    for name, shape, each in entries:
        block, size = gguf.GGML_QUANT_SIZES[each]
        sizes.append(int(np.prod(shape)) // block * size)
        writer.add_tensor_info(name, shape, np.dtype(np.float32), sizes[-1], raw_dtype=each)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    drawn = {}
    for (_, shape, each), size in zip(entries, sizes):
        if (shape, each) not in drawn:
            drawn = {key: value for key, value in drawn.items() if len(key[0]) == 1}  # one matrix at a time in memory
            drawn[shape, each] = random_bytes(each, int(np.prod(shape)), rng)
        data = drawn[shape, each]
        if data.size != size:
            raise SystemExit(f"{each}: {data.size} bytes drawn, {size} needed")
        writer.write_tensor_data(data)
    writer.close()


def model_of(name, layers):
    path = HOME / f"llava-7b-{name}{'' if layers == 32 else f'-{layers}'}.gguf"
    if not path.exists():
        partial = path.with_suffix(".partial")
        write_model(partial, TYPES[name], layers)
        partial.rename(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--types", default="bf16,q8_0,q4_0")
    parser.add_argument("--prompt", type=int, default=640)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    tool = build()
    for name in arguments.types.split(","):
        model = model_of(name, arguments.layers)
        if arguments.prepare:
            continue
        for test in (["-p", arguments.prompt, "-n", 0], ["-p", 0, "-n", arguments.generate, "-d", arguments.prompt]):
            command = [tool, "-m", model, "-t", arguments.threads, "-r", arguments.repeat, "-o", "jsonl", *test]
            done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
            for record in map(json.loads, done.stdout.splitlines()):
                what = "prompt" if record["n_prompt"] else "decode"
                print(json.dumps({
                    "peer": f"llama.cpp {record['build_commit']} ({record['cpu_info']})", "type": name, "layers": arguments.layers,
                    "test": what, "tokens": record["n_prompt"] or record["n_gen"], "depth": record["n_depth"],
                    "threads": record["n_threads"], f"{what}_tok_s": round(record["avg_ts"], 3),
                    "seconds": round(record["avg_ns"] / 1e9, 3)}), flush=True)
        if not arguments.keep:
            model.unlink()


if __name__ == "__main__":
    main()
