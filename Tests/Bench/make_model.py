#!/usr/bin/env python3
"""Writes a folder of a published model's shape and size, with random weights and a vocabulary of its size.

usage: make_model.py llava-7b|llava-1b|instructblip-13b DIRECTORY [--dtype fp16|bf16] [--layers N]

Hugging Face layout, shards of 5 GB, numpy alone, less than 100 MB of memory. One block of random numbers is drawn and repeated, so
that writing takes as long as the disk does. Such a model's answers mean nothing; memory, speed and file handling are the real one's.
The vocabulary is made too (vocabulary.py); nothing is downloaded.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np

import vocabulary

BLOCK = 4_194_301  # values drawn; odd, so that no two rows of a matrix are alike
SHARD_BYTES = 5_000_000_000
DECODERS = {
    "llava-7b": dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
                     vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5),
    "llava-1b": dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4,
                     vocab_size=32064, max_position_embeddings=4096, rms_norm_eps=1e-5),
    "instructblip-13b": dict(hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40,
                             num_key_value_heads=40, vocab_size=32001, max_position_embeddings=2048, rms_norm_eps=1e-6),
}
CLIP = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336, patch_size=14)
EVA = dict(hidden_size=1408, intermediate_size=6144, num_hidden_layers=39, num_attention_heads=16, image_size=224, patch_size=14)
QFORMER = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=512,
               vocab_size=30523, cross_attention_frequency=2, encoder_hidden_size=1408)
QUERIES = 32
NORM, MATRIX, BIAS = "norm", "matrix", "bias"


def linear(name, rows, columns, bias=True):
    yield f"{name}.weight", (rows, columns), MATRIX
    if bias:
        yield f"{name}.bias", (rows,), BIAS


def norm(name, width):
    yield f"{name}.weight", (width,), NORM
    yield f"{name}.bias", (width,), BIAS


def llama(c):
    d, heads = c["hidden_size"], c["num_attention_heads"]
    kv = d // heads * c["num_key_value_heads"]
    yield "language_model.model.embed_tokens.weight", (c["vocab_size"], d), MATRIX
    for n in range(c["num_hidden_layers"]):
        at = f"language_model.model.layers.{n}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"{at}{name}.weight", (d,), NORM
        for name, rows in (("q", d), ("k", kv), ("v", kv), ("o", d)):
            yield from linear(f"{at}self_attn.{name}_proj", rows, d, bias=False)
        for name, rows, columns in (("gate", c["intermediate_size"], d), ("up", c["intermediate_size"], d),
                                    ("down", d, c["intermediate_size"])):
            yield from linear(f"{at}mlp.{name}_proj", rows, columns, bias=False)
    yield "language_model.model.norm.weight", (d,), NORM
    yield "language_model.lm_head.weight", (c["vocab_size"], d), MATRIX


def clip(c, width):
    e, patches = c["hidden_size"], (c["image_size"] // c["patch_size"]) ** 2
    for name, columns in (("linear_1", e), ("linear_2", width)):
        yield from linear(f"multi_modal_projector.{name}", width, columns)
    at = "vision_tower.vision_model."
    yield f"{at}embeddings.class_embedding", (e,), MATRIX
    yield f"{at}embeddings.patch_embedding.weight", (e, 3, c["patch_size"], c["patch_size"]), MATRIX
    yield f"{at}embeddings.position_embedding.weight", (patches + 1, e), MATRIX
    for name in ("pre_layrnorm", "post_layernorm"):
        yield from norm(at + name, e)
    for n in range(c["num_hidden_layers"]):
        layer = f"{at}encoder.layers.{n}."
        for name in ("layer_norm1", "layer_norm2"):
            yield from norm(layer + name, e)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{layer}self_attn.{name}", e, e)
        yield from linear(f"{layer}mlp.fc1", c["intermediate_size"], e)
        yield from linear(f"{layer}mlp.fc2", e, c["intermediate_size"])


def eva(c):
    e, patches = c["hidden_size"], (c["image_size"] // c["patch_size"]) ** 2
    at = "vision_model."
    yield f"{at}embeddings.class_embedding", (1, 1, e), MATRIX
    yield f"{at}embeddings.patch_embedding.weight", (e, 3, c["patch_size"], c["patch_size"]), MATRIX
    yield f"{at}embeddings.patch_embedding.bias", (e,), BIAS
    yield f"{at}embeddings.position_embedding", (1, patches + 1, e), MATRIX
    for n in range(c["num_hidden_layers"]):
        layer = f"{at}encoder.layers.{n}."
        for name in ("layer_norm1", "layer_norm2"):
            yield from norm(layer + name, e)
        yield from linear(f"{layer}self_attn.qkv", 3 * e, e)
        yield from linear(f"{layer}self_attn.projection", e, e)
        yield from linear(f"{layer}mlp.fc1", c["intermediate_size"], e)
        yield from linear(f"{layer}mlp.fc2", e, c["intermediate_size"])
    yield from norm(f"{at}post_layernorm", e)


def qformer(c, width):
    w, f = c["hidden_size"], c["intermediate_size"]
    yield "query_tokens", (1, QUERIES, w), MATRIX
    yield "qformer.embeddings.word_embeddings.weight", (c["vocab_size"], w), MATRIX
    yield "qformer.embeddings.position_embeddings.weight", (c["max_position_embeddings"], w), MATRIX
    yield from norm("qformer.embeddings.layernorm", w)
    for n in range(c["num_hidden_layers"]):
        layer = f"qformer.encoder.layer.{n}."
        kinds = [("attention", w)] + ([("crossattention", c["encoder_hidden_size"])] if n % c["cross_attention_frequency"] == 0 else [])
        for kind, read in kinds:
            yield from linear(f"{layer}{kind}.attention.query", w, w)
            for name in ("key", "value"):
                yield from linear(f"{layer}{kind}.attention.{name}", w, read)
            yield from linear(f"{layer}{kind}.output.dense", w, w)
            yield from norm(f"{layer}{kind}.output.LayerNorm", w)
        for end in ("", "_query"):
            yield from linear(f"{layer}intermediate{end}.dense", f, w)
            yield from linear(f"{layer}output{end}.dense", w, f)
            yield from norm(f"{layer}output{end}.LayerNorm", w)
    yield from linear("language_projection", width, w)


class Numbers:
    """The random block, in the type of the file."""

    def __init__(self, dtype):
        drawn = np.random.Generator(np.random.SFC64(0)).standard_normal(BLOCK, dtype=np.float32) * np.float32(0.02)
        self.half = self.rounded(drawn, dtype)
        self.one = self.rounded(np.ones(1, np.float32), dtype)
        self.at = 0

    @staticmethod
    def rounded(values, dtype):
        return values.astype("<f2").view(np.uint16) if dtype == "fp16" else (values.view(np.uint32) >> 16).astype("<u2")

    def write(self, file, shape, kind):
        left = int(np.prod(shape))
        if kind == NORM:
            file.write(np.repeat(self.one, left).tobytes())
            return
        while left > 0:
            count = min(left, BLOCK - self.at)
            file.write(self.half[self.at:self.at + count].tobytes())
            left, self.at = left - count, (self.at + count) % BLOCK


def write_weights(folder, entries, dtype):
    parts, filled = [[]], 0
    for entry in entries:
        size = 2 * int(np.prod(entry[1]))
        if filled + size > SHARD_BYTES:
            parts.append([])
            filled = 0
        parts[-1].append(entry)
        filled += size
    numbers, weight_map, total = Numbers(dtype), {}, 0
    for index, part in enumerate(parts, 1):
        name = f"model-{index:05d}-of-{len(parts):05d}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for tensor, shape, _ in part:
            size = 2 * int(np.prod(shape))
            header[tensor] = {"dtype": {"fp16": "F16", "bf16": "BF16"}[dtype], "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
            weight_map[tensor] = name
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / name, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for _, shape, kind in part:
                numbers.write(file, shape, kind)
        total += offset
        print(f"{name}: {total / 1e9:.1f} GB so far", file=sys.stderr, flush=True)
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    return total


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


PIXELS = {"do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3,
          "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
          "rescale_factor": 0.00392156862745098}


def write_llava(folder, text, dtype):
    write_json(folder / "config.json", {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "image_token_index": 32000, "pad_token_id": 32001,
        "projector_hidden_act": "gelu", "tie_word_embeddings": False, "torch_dtype": dtype, "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default", "text_config": text | {"model_type": "llama", "torch_dtype": dtype},
        "vision_config": CLIP | {"model_type": "clip_vision_model", "projection_dim": 768}})
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001})
    write_json(folder / "preprocessor_config.json", PIXELS | {
        "crop_size": {"height": 336, "width": 336}, "do_center_crop": True, "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor", "size": {"shortest_edge": 336}})
    write_json(folder / "processor_config.json", {"image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": 14,
                                                  "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"})
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
        "legacy": False, "padding_side": "left", "tokenizer_class": "LlamaTokenizer", "clean_up_tokenization_spaces": False})
    write_json(folder / "added_tokens.json", {"<image>": 32000, "<pad>": 32001})
    vocabulary.write_tokenizer_json(folder / "tokenizer.json", ["<image>", "<pad>"])


def write_instructblip(folder, text, dtype):
    write_json(folder / "config.json", {
        "architectures": ["InstructBlipForConditionalGeneration"], "model_type": "instructblip", "num_query_tokens": QUERIES,
        "use_decoder_only_language_model": True, "tie_word_embeddings": False, "is_encoder_decoder": False, "torch_dtype": dtype,
        "initializer_factor": 1.0, "initializer_range": 0.02,
        "text_config": text | {"model_type": "llama", "architectures": ["LLaMAForCausalLM"], "hidden_act": "silu", "bos_token_id": 1,
                               "eos_token_id": 2, "pad_token_id": 32000, "torch_dtype": dtype},
        "vision_config": EVA | {"model_type": "instructblip_vision_model", "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True},
        "qformer_config": QFORMER | {"model_type": "instructblip_qformer", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                                     "pad_token_id": 0, "position_embedding_type": "absolute"}})
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32000})
    write_json(folder / "preprocessor_config.json", PIXELS | {"image_processor_type": "BlipImageProcessor",
                                                              "processor_class": "InstructBlipProcessor",
                                                              "size": {"height": 224, "width": 224}})
    write_json(folder / "processor_config.json", {"processor_class": "InstructBlipProcessor"})
    special = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
               for i, t in ((0, "<unk>"), (1, "<s>"), (2, "</s>"), (32000, "[PAD]"))}
    write_json(folder / "tokenizer_config.json", {
        "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "[PAD]", "add_bos_token": True, "add_eos_token": False,
        "clean_up_tokenization_spaces": False, "legacy": True, "tokenizer_class": "LlamaTokenizer", "padding_side": "right",
        "truncation_side": "left", "processor_class": "InstructBlipProcessor", "added_tokens_decoder": special})
    write_json(folder / "added_tokens.json", {"[PAD]": 32000})
    vocabulary.write_tokenizer_model(folder / "tokenizer.model")
    words = folder / "qformer_tokenizer"
    words.mkdir(exist_ok=True)
    vocabulary.write_bert_words(words / "vocab.txt")
    write_json(words / "added_tokens.json", {"[DEC]": vocabulary.BERT_WORDS})
    write_json(words / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "bos_token": "[DEC]",
                                                 "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"})


def make(model, folder, dtype="fp16", layers=None):
    text = dict(DECODERS[model])
    if layers:
        text["num_hidden_layers"] = layers
    width = text["hidden_size"]
    folder.mkdir(parents=True, exist_ok=True)
    kind = {"fp16": "float16", "bf16": "bfloat16"}[dtype]
    if model.startswith("llava"):
        write_llava(folder, text, kind)
        entries = [*llama(text), *clip(CLIP, width)]
    else:
        write_instructblip(folder, text, kind)
        entries = [*llama(text), *eva(EVA), *qformer(QFORMER, width)]
    return write_weights(folder, entries, dtype)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=list(DECODERS))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--dtype", default="fp16", choices=["fp16", "bf16"])
    parser.add_argument("--layers", type=int, help="decoder layers; fewer for a quick look")
    arguments = parser.parse_args()
    total = make(arguments.model, arguments.directory, arguments.dtype, arguments.layers)
    print(f"{arguments.directory}: {total / 2 ** 30:.2f} GiB")


if __name__ == "__main__":
    main()
