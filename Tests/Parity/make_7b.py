#!/usr/bin/env python3
"""Writes a folder of LLaVA-1.5-7B's shape and size: random fp16 weights, real vocabulary, published key layout.

usage: make_7b.py DIRECTORY [--seed N] [--layers N]

14 GB in three safetensors shards, in under 2 GB of memory, with numpy alone. The figures that such a model computes mean
nothing; memory, speed and file handling are those of the real one. HADPO_SHARED names the folder with the vocabulary.
"""
import argparse
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

D, FFN, HEADS, VOCABULARY = 4096, 11008, 32, 32064
E, VISION_FFN, VISION_LAYERS, PATCHES, PATCH = 1024, 4096, 24, 24, 14
SHARD_BYTES = 5_000_000_000
CHUNK = 1 << 22  # values drawn at a time


def shapes(layers):
    """(name, shape, mean, standard deviation) in the order of the file."""
    small = 0.02
    yield "language_model.model.embed_tokens.weight", (VOCABULARY, D), 0, small
    for n in range(layers):
        at = f"language_model.model.layers.{n}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}{name}.weight", (D,), 1, small
        for name in "qkvo":
            yield f"{at}self_attn.{name}_proj.weight", (D, D), 0, small
        yield f"{at}mlp.gate_proj.weight", (FFN, D), 0, small
        yield f"{at}mlp.up_proj.weight", (FFN, D), 0, small
        yield f"{at}mlp.down_proj.weight", (D, FFN), 0, small
    yield "language_model.model.norm.weight", (D,), 1, small
    yield "language_model.lm_head.weight", (VOCABULARY, D), 0, small
    for name, width in (("linear_1", E), ("linear_2", D)):
        yield f"multi_modal_projector.{name}.weight", (D, width), 0, small
        yield f"multi_modal_projector.{name}.bias", (D,), 0, small
    at = "vision_tower.vision_model."
    yield f"{at}embeddings.class_embedding", (E,), 0, small
    yield f"{at}embeddings.patch_embedding.weight", (E, 3, PATCH, PATCH), 0, small
    yield f"{at}embeddings.position_embedding.weight", (PATCHES ** 2 + 1, E), 0, small
    for norm in ("pre_layrnorm", "post_layernorm"):
        yield f"{at}{norm}.weight", (E,), 1, small
        yield f"{at}{norm}.bias", (E,), 0, small
    for n in range(VISION_LAYERS):
        layer = f"{at}encoder.layers.{n}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{layer}{norm}.weight", (E,), 1, small
            yield f"{layer}{norm}.bias", (E,), 0, small
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}self_attn.{name}.weight", (E, E), 0, small
            yield f"{layer}self_attn.{name}.bias", (E,), 0, small
        for name, rows, columns in (("fc1", VISION_FFN, E), ("fc2", E, VISION_FFN)):
            yield f"{layer}mlp.{name}.weight", (rows, columns), 0, small
            yield f"{layer}mlp.{name}.bias", (rows,), 0, small


def shards(layers):
    parts, filled = [[]], 0
    for entry in shapes(layers):
        size = 2 * int(np.prod(entry[1]))
        if filled + size > SHARD_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(entry)
        filled += size
    return parts


def write_shard(path, entries, rng):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape, _, _ in entries:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape, mean, deviation in entries:
            left = int(np.prod(shape))
            while left > 0:
                count = min(left, CHUNK)
                values = rng.standard_normal(count, dtype=np.float32) * np.float32(deviation) + np.float32(mean)
                file.write(values.astype("<f2").tobytes())
                left -= count
    return offset


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=32, help="decoder layers; fewer for a quick look")
    arguments = parser.parse_args()
    shared = Path(os.environ.get("HADPO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    vocabulary = shared / "data" / "tokenizers" / "llava-hf" / "tokenizer.json"
    if not vocabulary.exists():
        print(f"SKIPPED: no vocabulary at {vocabulary}; set HADPO_SHARED")
        return 1
    folder = arguments.directory
    folder.mkdir(parents=True, exist_ok=True)
    rng, parts = np.random.Generator(np.random.SFC64(arguments.seed)), shards(arguments.layers)
    weight_map, total = {}, 0
    for index, entries in enumerate(parts, 1):
        name = f"model-{index:05d}-of-{len(parts):05d}.safetensors"
        total += write_shard(folder / name, entries, rng)
        weight_map |= {entry[0]: name for entry in entries}
        print(f"{name}: {total / 1e9:.1f} GB so far", flush=True)

    def write(name, value):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")

    write("model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})
    # As published: the text model's sizes are LlamaConfig's defaults and stand nowhere in the file.
    text = {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096,
            "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": VOCABULARY}
    if arguments.layers != 32:
        text["num_hidden_layers"] = arguments.layers
    write("config.json", {
        "architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000,
        "model_type": "llava", "pad_token_id": 32001, "projector_hidden_act": "gelu", "text_config": text,
        "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.36.0.dev0",
        "vision_config": {"hidden_size": E, "image_size": 336, "intermediate_size": VISION_FFN,
                          "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": VISION_LAYERS,
                          "patch_size": PATCH, "projection_dim": 768, "vocab_size": 32000},
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": VOCABULARY})
    write("generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001})
    write("preprocessor_config.json", {
        "crop_size": {"height": 336, "width": 336}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor", "image_std": [0.26862954, 0.26130258, 0.27577711],
        "processor_class": "LlavaProcessor", "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 336}})
    write("processor_config.json", {"image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": PATCH,
                                    "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"})
    write("tokenizer_config.json", {"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
                                    "unk_token": "<unk>", "pad_token": "<pad>", "legacy": False, "padding_side": "left",
                                    "tokenizer_class": "LlamaTokenizer", "clean_up_tokenization_spaces": False})
    write("added_tokens.json", {"<image>": 32000, "<pad>": 32001})
    shutil.copyfile(vocabulary, folder / "tokenizer.json")
    print(f"{folder}: {len(weight_map)} tensors, {total / 2 ** 30:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
