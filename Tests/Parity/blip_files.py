"""The on-disk layouts of MiniGPT-4 and InstructBLIP: EVA's flat .pth, LAVIS' trained parts, BERT's vocabulary, HF folders.

The models are those of blip.py. `*_stored` say how each file rounds a weight, by its name in transformers.
"""
import argparse
import shutil

import torch

import llava
import spm
from llava import DTYPES, save_safetensors, text_fields, write_json, write_sharded

HALF, FULL = torch.float16, torch.float32
EVA = "eva_vit_g.pth"
PROJECTION = "pretrained_minigpt4_llama2_7b.pth"
TRIMMED = "instruct_blip_vicuna13b_trimmed.pth"


def published_stored(name):
    """LLM in fp16; EVA's convolution and linears in fp16, its norms, positions and biases of q and v in fp32; the rest fp32."""
    if name.startswith("language_model."):
        return HALF
    linear = any(part in name for part in ("patch_embedding", "qkv.weight", "projection", ".mlp."))
    return HALF if name.startswith("vision_model.") and linear else FULL


def eva_tensors(vision_model):
    """The names of EVA-CLIP's file; the stacked bias is split, its zeros for the keys are not stored."""
    out = {}
    for name, weight in vision_model.named_parameters():
        if name.startswith("post_layernorm"):
            continue
        weight = weight.detach().to(published_stored("vision_model." + name)).clone()
        for old, new in (("embeddings.class_embedding", "cls_token"), ("embeddings.position_embedding", "pos_embed"),
                         ("embeddings.patch_embedding", "patch_embed.proj"), ("encoder.layers.", "blocks."),
                         ("layer_norm", "norm"), ("self_attn.projection", "attn.proj"), ("self_attn.qkv", "attn.qkv")):
            name = name.replace(old, new)
        if name.endswith("attn.qkv.bias"):
            q, _, v = weight.chunk(3)
            out[name.replace("qkv.bias", "q_bias")], out[name.replace("qkv.bias", "v_bias")] = q.clone(), v.clone()
        else:
            out[name] = weight
    return share(out)


def share(tensors):
    """Equal tensors become one, which torch.save then writes once."""
    seen = {}
    for name, tensor in tensors.items():
        key = (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        tensors[name] = seen.setdefault(key, tensor)
    return tensors


def save_eva(vision_model, path):
    tensors, width = eva_tensors(vision_model), vision_model.config.hidden_size
    # The released file is believed to hold the head of its pretraining as well; readers pass over it.
    tensors |= {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width), "head.weight": torch.zeros(3, width, dtype=HALF),
                "head.bias": torch.zeros(3, dtype=HALF)}
    torch.save(tensors, path)


def save_llama(model, folder, rows, shards=1, pickled=False, config=None, generation=None):
    """A LlamaForCausalLM in fp16 with the first `rows` of its vocabulary, as Hugging Face keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, weight in model.named_parameters():
        weight = weight[:rows] if "embed_tokens" in name or "lm_head" in name else weight
        tensors[name] = weight.detach().to(HALF).contiguous().clone()
    if pickled:
        write_sharded(folder, dict(sorted((tensors | llava.rotary_buffers(model.config)).items())), shards, "pytorch_model", "bin",
                      torch.save)
    else:
        write_sharded(folder, dict(sorted(tensors.items())), shards, "model", "safetensors", save_safetensors)
    write_json(folder / "config.json", text_fields(
        model.config, architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=rows, tie_word_embeddings=False,
        torch_dtype="float16", rope_scaling=None, use_cache=True, **config or {}))
    write_json(folder / "generation_config.json", generation or {})


def save_minigpt4(model, folder, rows, tokenizer_model, legacy=False, pickled=False):
    """`llm` (Llama-2-chat), EVA and the trained projection, which lies among a trainer's other things."""
    save_llama(model.language_model, folder / "llm", rows, shards=2, pickled=pickled,
               config={"bos_token_id": 1, "eos_token_id": 2, "pretraining_tp": 1},
               generation={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": True, "temperature": 0.6, "top_p": 0.9})
    llava.write_tokenizer(folder / "llm", None, model_file=tokenizer_model, legacy=legacy)
    save_eva(model.vision_model, folder / EVA)
    trained = {"llama_proj.weight": model.language_projection.weight, "llama_proj.bias": model.language_projection.bias}
    trained = {name: weight.detach().clone() for name, weight in trained.items()}
    torch.save({"model": trained, "optimizer": {"state": {0: {"exp_avg": torch.ones(2), "step": 7}}, "param_groups": [{"lr": 1e-5}]},
                "config": argparse.Namespace(run={"task": "image_text_pretrain"}, options=None), "scaler": None, "epoch": 4},
               folder / PROJECTION)


def lavis_name(name):
    """transformers' name of a Q-Former weight -> LAVIS'."""
    name = name.replace("qformer.", "Qformer.bert.", 1).replace("attention.attention.", "attention.self.")
    return name.replace("embeddings.layernorm", "embeddings.LayerNorm").replace("language_projection", "llm_proj").replace(
        "vision_model.post_layernorm", "ln_vision")


def save_lavis(model, folder, rows, tokenizer_model, vocab, pickled=False, dtype="float32"):
    """`llm` (Vicuna v1.1 with its contradicting configurations), EVA, the trained parts, BERT's vocabulary."""
    # Vicuna v1.1's config.json names other special ids than its generation_config.json, which generation follows.
    save_llama(model.language_model, folder / "llm", rows, shards=2, pickled=pickled,
               config={"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": -1},
               generation={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    llava.write_tokenizer(folder / "llm", None, model_file=tokenizer_model, legacy=True)
    save_eva(model.vision_model, folder / EVA)
    trained = {lavis_name(name): weight.detach().to(DTYPES[dtype]).clone() for name, weight in model.named_parameters()
               if not name.startswith("language_model.") and (not name.startswith("vision_model.") or "post_layernorm" in name)}
    config = model.qformer.config
    trained["Qformer.bert.embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
    trained["llm_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)  # a buffer of the LLM: nobody's
    torch.save({"model": trained, "epoch": 9}, folder / TRIMMED)
    bert = folder / "bert-base-uncased"
    bert.mkdir(exist_ok=True)
    shutil.copyfile(vocab, bert / "vocab.txt")
    write_json(bert / "config.json", {
        "architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_size": config.hidden_size, "intermediate_size": config.intermediate_size,
        "num_attention_heads": config.num_attention_heads, "num_hidden_layers": config.num_hidden_layers,
        "max_position_embeddings": config.max_position_embeddings, "type_vocab_size": 2, "vocab_size": config.vocab_size - 1,
        "pad_token_id": 0, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1})


def save_instructblip_hf(model, folder, dtype, tokenizer_model, vocab, image_token=None, shards=1):
    """Salesforce/instructblip-vicuna-*: the names of its conversion script. `image_token`: the later form with <image> in the
    vocabulary; the earlier form has rows for [PAD] only and no image_token_index."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: weight.detach().to(DTYPES[dtype]).contiguous().clone() for name, weight in sorted(model.hf.named_parameters())}
    tensors["qformer.embeddings.position_ids"] = torch.arange(model.qformer.config.max_position_embeddings)[None]
    write_sharded(folder, dict(sorted(tensors.items())), shards, "model", "safetensors", save_safetensors)
    v, q = model.vision_model.config, model.qformer.config
    value = {
        "architectures": ["InstructBlipForConditionalGeneration"], "model_type": "instructblip", "initializer_factor": 1.0,
        "initializer_range": 0.02, "num_query_tokens": model.query_tokens.shape[1], "use_decoder_only_language_model": True,
        "tie_word_embeddings": False, "is_encoder_decoder": False, "torch_dtype": dtype,
        "text_config": text_fields(model.language_model.config, architectures=["LLaMAForCausalLM"], model_type="llama",
                                   torch_dtype=dtype, bos_token_id=0, eos_token_id=1, pad_token_id=-1),
        "vision_config": {"model_type": "instructblip_vision_model", "hidden_act": "gelu", "layer_norm_eps": v.layer_norm_eps,
                          "qkv_bias": True, "attention_dropout": 0.0, **{key: getattr(v, key) for key in (
                              "hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size").split()}},
        "qformer_config": {"model_type": "instructblip_qformer", "hidden_act": "gelu", "layer_norm_eps": q.layer_norm_eps,
                           "position_embedding_type": "absolute", "pad_token_id": 0, **{key: getattr(q, key) for key in (
                               "hidden_size intermediate_size num_hidden_layers num_attention_heads max_position_embeddings vocab_size "
                               "cross_attention_frequency encoder_hidden_size").split()}}}
    if image_token is not None:
        value["image_token_index"] = image_token
    write_json(folder / "config.json", value)
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})
    write_instructblip_processor(folder, model, tokenizer_model, vocab, image_token)


def write_instructblip_processor(folder, model, tokenizer_model, vocab, image_token, slow=True):
    """Both tokenizers and the picture's settings. </s> is BOS, EOS and UNK at once, as the conversion script leaves it."""
    rows = spm.size(tokenizer_model)
    added = {rows: "[PAD]"} | ({image_token: "<image>"} if image_token is not None else {})
    if slow:
        shutil.copyfile(tokenizer_model, folder / "tokenizer.model")
    (folder / "tokenizer.json").write_text(spm.tokenizer_json(tokenizer_model.read_bytes(), added, bos=("</s>", 2)))
    specials = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "[PAD]"}
    names = {0: "<unk>", 1: "<s>", 2: "</s>", **added}
    write_json(folder / "tokenizer_config.json", {
        **specials, "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "legacy": True,
        "tokenizer_class": "LlamaTokenizer", "padding_side": "right", "truncation_side": "left",
        "processor_class": "InstructBlipProcessor",
        "added_tokens_decoder": {str(i): {"content": n, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                                          "special": True} for i, n in names.items()}})
    write_json(folder / "special_tokens_map.json", specials)
    write_json(folder / "added_tokens.json", {name: index for index, name in added.items()})
    size = model.image_size
    write_json(folder / "preprocessor_config.json", {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": llava.CLIP_MEAN,
        "image_std": llava.CLIP_STD, "image_processor_type": "BlipImageProcessor", "processor_class": "InstructBlipProcessor",
        "resample": 3, "rescale_factor": 1 / 255, "size": {"height": size, "width": size}})
    write_json(folder / "processor_config.json", {
        "processor_class": "InstructBlipProcessor", "num_query_tokens": model.query_tokens.shape[1]})
    bert = folder / "qformer_tokenizer"
    bert.mkdir(exist_ok=True)
    lines = vocab.read_text().split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    shutil.copyfile(vocab, bert / "vocab.txt")
    specials = {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    write_json(bert / "tokenizer_config.json", {
        **specials, "bos_token": "[DEC]", "do_lower_case": True, "do_basic_tokenize": True, "model_max_length": 512,
        "strip_accents": None, "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer", "truncation_side": "left"})
    write_json(bert / "special_tokens_map.json", specials | {"bos_token": "[DEC]"})
    write_json(bert / "added_tokens.json", {"[DEC]": len(lines)})


def save_instructblip_tf5(model, folder, dtype, tokenizer_model, vocab, image_token):
    """What the installed transformers writes by itself; of the Llama tokenizer only tokenizer.json."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    stored = copy.deepcopy(model.hf).to(DTYPES[dtype])
    stored.config.dtype = DTYPES[dtype]
    stored.generation_config.bos_token_id, stored.generation_config.eos_token_id = 1, 2
    stored.save_pretrained(folder)
    write_instructblip_processor(folder, model, tokenizer_model, vocab, image_token, slow=False)


def write_vocabulary(path, texts):
    """A small BERT vocabulary: specials first, letters, digits and marks alone and continued, and every other word of `texts`."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = sorted({word for text in texts for word in "".join(c if c.isalpha() else " " for c in text.lower()).split()
                    if word.isascii() and len(word) > 1})
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!'-;:", *letters, *("##" + c for c in letters), *words[::2],
             "##s", "##ing"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in dict.fromkeys(lines)))
    return len(dict.fromkeys(lines))
