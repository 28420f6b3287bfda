"""Small random LLaVA-1.5 models and the on-disk layouts in which such checkpoints are found.

D text hidden size, E vision hidden size, V rows of the embedding table. A model is always built and run in fp32 from
the weights *as stored*: rounding to bf16 or fp16 happens before anything is computed, so a reader of the folder and the
oracle see the same numbers.
"""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def build(text, vision, image_token, dtype="float32", seed=0, select_layer=-2, tokens=None, end_gain=1.4):
    """A random model whose logits are not flat, rounded to `dtype` and held in fp32.

    `tokens`: rows of the head from there on are zero, so that ids which no token has are never generated.
    `end_gain`: scales the row of the end token, so that beams do end at times."""
    config = LlavaConfig(
        text_config=LlamaConfig(**text), vision_config=CLIPVisionConfig(**vision), image_token_id=image_token,
        vision_feature_layer=select_layer, vision_feature_select_strategy="default", tie_word_embeddings=False,
    )
    # Eager attention everywhere: the fused kernels of PyTorch reorder sums by machine.
    config._attn_implementation = "eager"
    model = LlavaForConditionalGeneration(config).float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            if "norm" in name or "layrnorm" in name:
                weight.copy_(0.2 * noise + (1.0 if name.endswith("weight") else 0.0))
            elif name.endswith("bias"):
                weight.copy_(0.1 * noise)
            elif "embed" in name:
                weight.copy_(0.3 * noise)
            elif "lm_head" in name:
                weight.copy_(2.5 / weight.shape[1] ** 0.5 * noise)  # logits of standard deviation 2.5
            else:
                weight.copy_(1.5 / weight.shape[1] ** 0.5 * noise)
            if tokens and "lm_head" in name:
                weight[tokens:] = 0
                weight[2] *= end_gain
            weight.copy_(weight.to(DTYPES[dtype]).float())
    return model


def base_tensors(model):
    """The weights under the names of the layout `model.language_model.*` (transformers 4.52 and later, in memory)."""
    tensors = {}
    for name, weight in model.named_parameters():
        if name.startswith("model.vision_tower.") and not name.startswith("model.vision_tower.vision_model."):
            name = name.replace("model.vision_tower.", "model.vision_tower.vision_model.", 1)
        tensors[name] = weight.detach()
    return tensors


def old_name(name):
    """llava-hf/llava-1.5-7b-hf as published: language_model.model.*, vision_tower.vision_model.*"""
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return "language_model." + name if name.startswith("lm_head") else name.removeprefix("model.")


def original_name(name):
    """liuhaotian/llava-v1.5-7b: model.*, model.mm_projector.*; the vision tower is not in this file."""
    name = name.replace("model.language_model.", "model.", 1)
    name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
    return name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def text_fields(c, **more):
    """config.json of a Llama, from its configuration."""
    keys = ("hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads "
            "max_position_embeddings rms_norm_eps vocab_size").split()
    theta = (getattr(c, "rope_parameters", None) or {}).get("rope_theta", 10000.0)
    return {**{key: getattr(c, key) for key in keys}, "rope_theta": theta, "hidden_act": "silu", **more}


def rotary_buffers(c):
    """The fp32 buffers that old .bin files of a Llama hold beside the weights."""
    head, theta = c.hidden_size // c.num_attention_heads, text_fields(c)["rope_theta"]
    return {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": theta ** (-torch.arange(0, head, 2).float() / head)
            for layer in range(c.num_hidden_layers)}


def _vision_config(model):
    c = model.config.vision_config
    keys = ("hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size "
            "projection_dim").split()
    return {**{key: getattr(c, key) for key in keys}, "model_type": "clip_vision_model", "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5}


def _preprocessor(size, pad):
    value = {
        "crop_size": {"height": size, "width": size}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
        "image_processor_type": "CLIPImageProcessor", "resample": 3, "rescale_factor": 1 / 255,
        "size": {"shortest_edge": size},
    }
    if pad:
        value |= {"image_processor_type": "LlavaImageProcessor", "do_pad": True}
    return value


def _shards(tensors, count):
    """Splits in name order into `count` parts of about equal bytes."""
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    parts, filled = [{} for _ in range(count)], 0
    for name, tensor in tensors.items():
        parts[min(count - 1, filled * count // total)][name] = tensor
        filled += tensor.numel() * tensor.element_size()
    return parts, total


def write_sharded(folder, tensors, count, stem, extension, save):
    if count == 1:
        save(tensors, folder / f"{stem}.{extension}")
        return
    parts, total = _shards(tensors, count)
    weight_map = {}
    for index, part in enumerate(parts, 1):
        name = f"{stem}-{index:05d}-of-{count:05d}.{extension}"
        save(part, folder / name)
        weight_map |= {key: name for key in part}
    write_json(folder / f"{stem}.{extension}.index.json",
                {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})


def save_safetensors(tensors, path):
    save_file(tensors, path, metadata={"format": "pt"})


def save_hf(model, folder, dtype, layout, pad=False, shards=1):
    """`layout`: "old" (language_model.model.*) or "new" (model.language_model.*)."""
    folder.mkdir(parents=True, exist_ok=True)
    rename = old_name if layout == "old" else (lambda name: name)
    tensors = {rename(name): weight.to(DTYPES[dtype]).contiguous() for name, weight in sorted(base_tensors(model).items())}
    write_sharded(folder, tensors, shards, "model", "safetensors", save_safetensors)
    write_json(folder / "config.json", {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "ignore_index": -100,
        "image_token_index": model.config.image_token_id, "pad_token_id": model.config.image_token_id + 1,
        "projector_hidden_act": "gelu", "vision_feature_layer": model.config.vision_feature_layer,
        "vision_feature_select_strategy": "default", "tie_word_embeddings": False, "torch_dtype": dtype,
        "text_config": text_fields(model.config.text_config, model_type="llama", torch_dtype=dtype),
        "vision_config": _vision_config(model),
    })
    write_json(folder / "generation_config.json",
                {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": model.config.image_token_id + 1})
    size = model.config.vision_config.image_size
    write_json(folder / "preprocessor_config.json", _preprocessor(size, pad))
    write_json(folder / "processor_config.json", {
        "image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": model.config.vision_config.patch_size,
        "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"})


def save_transformers5(model, folder, dtype, pad=False):
    """What the installed transformers writes by itself; the image processor is embedded in processor_config.json."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    stored = copy.deepcopy(model).to(DTYPES[dtype])
    stored.config.dtype = DTYPES[dtype]
    stored.generation_config.bos_token_id, stored.generation_config.eos_token_id = 1, 2
    stored.save_pretrained(folder)
    size = model.config.vision_config.image_size
    preprocessor = _preprocessor(size, pad)
    preprocessor["image_processor_type"] = "LlavaImageProcessor" if pad else "CLIPImageProcessor"
    write_json(folder / "processor_config.json", {
        "image_processor": preprocessor, "image_token": "<image>", "num_additional_image_tokens": 1,
        "patch_size": model.config.vision_config.patch_size, "processor_class": "LlavaProcessor",
        "vision_feature_select_strategy": "default"})


def save_original(model, folder, dtype, vocabulary, tower="openai/clip-vit-tiny-patch14-42", pad=True, tower_folder=None):
    """The liuhaotian layout: pickle shards with the rotary buffers of old, and CLIP in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    text, tensors, clip = model.config.text_config, {}, {}
    tower_dtype = torch.float16 if dtype == "float16" else torch.float32  # bf16 weights need not fit into fp16
    for name, weight in base_tensors(model).items():
        if name.startswith("model.vision_tower."):
            clip[name.removeprefix("model.vision_tower.")] = weight.to(tower_dtype).clone()
            continue
        if "embed_tokens" in name or "lm_head" in name:
            weight = weight[:vocabulary]
        tensors[original_name(name)] = weight.to(DTYPES[dtype]).clone()
    tensors |= rotary_buffers(text)
    write_sharded(folder, dict(sorted(tensors.items())), 2, "pytorch_model", "bin", torch.save)
    write_json(folder / "config.json", text_fields(
        text, architectures=["LlavaLlamaForCausalLM"], model_type="llava", vocab_size=vocabulary, bos_token_id=1,
        eos_token_id=2, pad_token_id=0, tie_word_embeddings=False, torch_dtype=dtype, pretraining_tp=1, rope_scaling=None,
        use_mm_proj=True, mm_projector_type="mlp2x_gelu", mm_resampler_type=None, mm_use_im_patch_token=False,
        mm_use_im_start_end=False, mm_vision_select_feature="patch", mm_vision_tower=tower,
        mm_vision_select_layer=model.config.vision_feature_layer, mm_hidden_size=model.config.vision_config.hidden_size,
        image_aspect_ratio="pad" if pad else None, freeze_mm_mlp_adapter=False, use_cache=True,
        transformers_version="4.31.0"))
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
                                                     "max_length": text.max_position_embeddings})
    tower_folder = tower_folder or folder / tower
    tower_folder.mkdir(parents=True, exist_ok=True)
    size = model.config.vision_config.image_size
    positions = clip["vision_model.embeddings.position_embedding.weight"].shape[0]
    # A CLIP file also holds the text tower, which a reader must pass over.
    clip["vision_model.embeddings.position_ids"] = torch.arange(positions)[None]
    clip["text_model.final_layer_norm.weight"] = torch.ones(8)
    clip["logit_scale"] = torch.tensor(4.6052)
    torch.save(clip, tower_folder / "pytorch_model.bin")
    write_json(tower_folder / "config.json", {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 16, "text_config": {"hidden_size": 8},
        "vision_config": _vision_config(model), "torch_dtype": str(tower_dtype).removeprefix("torch.")})
    write_json(tower_folder / "preprocessor_config.json", {
        "crop_size": size, "do_center_crop": True, "do_normalize": True, "do_resize": True, "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD, "resample": 3, "size": size, "feature_extractor_type": "CLIPFeatureExtractor"})


def write_tokenizer(folder, image_token, model_file=None, json_file=None, legacy=None):
    """Copies `tokenizer.model` and/or `tokenizer.json` and writes the small files beside them.

    `image_token` is None for the original layout, whose vocabulary has no <image>."""
    if model_file:
        shutil.copyfile(model_file, folder / "tokenizer.model")
    if json_file:
        shutil.copyfile(json_file, folder / "tokenizer.json")
    names = {0: "<unk>", 1: "<s>", 2: "</s>"}
    if image_token is not None:
        names |= {image_token: "<image>", image_token + 1: "<pad>"}
        if model_file and not json_file:
            write_json(folder / "added_tokens.json", {"<image>": image_token, "<pad>": image_token + 1})
    # The oracle gives the text behind <image> a leading space of its own, as llava-hf's tokenizer.json does; a tokenizer.model does
    # so under `legacy` alone.
    legacy = image_token is not None and json_file is None if legacy is None else legacy
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": "<pad>" if image_token is not None else "<unk>", "clean_up_tokenization_spaces": False,
        "legacy": legacy, "tokenizer_class": "LlamaTokenizer", "padding_side": "left",
        "added_tokens_decoder": {str(i): {"content": n, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for i, n in names.items()}})
    write_json(folder / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
