#!/usr/bin/env python3
"""HA-DPO's own MiniGPT-4 and InstructBLIP, run on a folder of blip_files.py: a process of its own for parity_upstream.py.

argv: a JSON file with source, packages, family, folder, eva (sizes), adapter, rows, samples, question, new_tokens, out.
`source` is a checkout of opendatalab/HA-DPO, `packages` a folder with the versions of Tests/Parity/upstream.txt. Their classes
and functions run unchanged. Around them, this file gives names for what is not needed on a CPU (timm, registries), makes
the hard-wired sizes of EVA and the download addresses point at the small files, and keeps everything in fp32.
"""
import json
import os
import sys
import types
from pathlib import Path

JOB = json.loads(Path(sys.argv[1]).read_text())
SOURCE, FOLDER = Path(JOB["source"]) / "ha_dpo", Path(JOB["folder"])
sys.path.insert(0, JOB["packages"])
os.environ["LOCAL_RANK"] = "0"  # or else upstream asks CUDA for the device

import torch  # noqa: E402
from torch import nn  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
import transformers  # noqa: E402

assert transformers.__version__ == "4.31.0", transformers.__version__
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def module(name, path=None, **members):
    out = types.ModuleType(name)
    if path is not None:
        out.__path__ = [str(path)]  # a package whose own __init__ does not run: it would import every model and data set
    out.__dict__.update(members)
    sys.modules[name] = out
    return out


class Registry:
    def __getattr__(self, _):
        return lambda *_: (lambda decorated: decorated)


class Base(nn.Module):
    """Upstream's BaseModel as far as these models use it."""

    @property
    def device(self):
        return next(self.parameters()).device


def prepare():
    module("timm"), module("timm.models"), module("datasets", Dataset=object)
    module("timm.models.layers", drop_path=lambda x, *_: x, to_2tuple=lambda x: x if isinstance(x, tuple) else (x, x),
           trunc_normal_=nn.init.trunc_normal_)
    module("timm.models.registry", register_model=lambda f: f)
    for package, folder in (("minigpt4", SOURCE / "models/minigpt4/minigpt4"), ("vigc", SOURCE / "models/instructblip/vigc")):
        for inner in ("", ".common", ".models", ".conversation", ".models.blip2_models"):
            module(package + inner, folder / inner.replace(".", "/").lstrip("/"))
        module(f"{package}.common.registry", registry=Registry())
        module(f"{package}.common.dist_utils", download_cached_file=lambda *_, **__: str(FOLDER / "eva_vit_g.pth"))
        module(f"{package}.common.utils", is_url=lambda _: False)
        module(f"{package}.common.logger", MetricLogger=object)
        module(f"{package}.models.base_model", BaseModel=Base)
        module(f"{package}.models.clip_vit", create_clip_vit_L=None)
    module("hadpo_trainer", SOURCE / "trainer")
    load = torch.load
    torch.load = lambda *a, **k: load(*a, **{**k, "weights_only": False})


def small_eva(eva_vit):
    """create_eva_vit_g runs as it is; the class it names gets the small sizes."""
    size, whole = JOB["eva"], eva_vit.VisionTransformer
    eva_vit.VisionTransformer = lambda **given: whole(**{**given, **dict(
        img_size=size["image_size"], patch_size=size["patch_size"], embed_dim=size["hidden_size"], depth=size["num_hidden_layers"],
        num_heads=size["hidden_size"] // 88, mlp_ratio=(size["intermediate_size"] + 0.5) / size["hidden_size"])})


def full_precision(llama):
    class Full(llama):
        @classmethod
        def from_pretrained(cls, folder, **_):
            return super().from_pretrained(folder, torch_dtype=torch.float32).eval()
    Full.__name__ = llama.__name__
    return Full


def vision_figures(model, out):
    def keep(name):
        def hook(_, __, result):  # the first pass counts: generation asks another question
            out.setdefault(name, (result[0] if isinstance(result, tuple) else result)[0].float().clone())
        return hook
    for n, block in enumerate(model.visual_encoder.blocks):
        block.register_forward_hook(keep(f"vision.block.{n}"))
    model.ln_vision.register_forward_hook(keep("ln_vision"))
    if getattr(model, "Qformer", None) is not None:
        for n, layer in enumerate(model.Qformer.bert.encoder.layer):
            layer.register_forward_hook(keep(f"qformer.block.{n}"))


def minigpt4(lora):
    import minigpt4.models.eva_vit as eva_vit
    import minigpt4.models.blip2 as blip2
    import minigpt4.models.mini_gpt4_dpo as mini
    if not hasattr(mini, "_small"):
        small_eva(eva_vit)
        mini.LlamaForCausalLM = full_precision(mini.LlamaForCausalLM)
        blip2.Blip2Base.init_tokenizer = classmethod(lambda cls: None)  # BERT's: for the Q-Former, which this model has not
        mini._small = True
    return mini.MiniGPT4DPO.from_config({
        "image_size": JOB["eva"]["image_size"], "llama_model": str(FOLDER / "llm"), "vit_precision": "fp32", "has_qformer": False,
        "prompt_template": "[INST] {} [/INST] ", "max_txt_len": 320, "end_sym": "</s>", "lora_r": 4 if lora else 0, "lora_alpha": 8,
        "lora_target_modules": ["q_proj", "k_proj", "v_proj"], "lora_dropout": 0.0, "freeze_llama_proj": True,
        "ckpt": str(FOLDER / "pretrained_minigpt4_llama2_7b.pth")}).eval()


def instructblip(lora):
    import vigc.models.eva_vit as eva_vit
    import vigc.models.blip2_models.blip2 as blip2
    import vigc.models.blip2_models.modeling_llama as modeling
    import vigc.models.blip2_models.blip2_vicuna_instruct_dpo as whole
    if not hasattr(whole, "_small"):
        small_eva(eva_vit)
        modeling.LlamaForCausalLM = full_precision(modeling.LlamaForCausalLM)
        bert = str(FOLDER / "bert-base-uncased")
        tokenizer, config = blip2.BertTokenizer, blip2.BertConfig

        class Tokenizer(tokenizer):
            @classmethod
            def from_pretrained(cls, _, **more):
                return tokenizer.from_pretrained(bert, **more)

        class Config(config):
            @classmethod
            def from_pretrained(cls, _, **more):
                return config.from_pretrained(bert, **more)
        blip2.BertTokenizer, blip2.BertConfig = Tokenizer, Config
        blip2.BertLMHeadModel.from_pretrained = classmethod(lambda cls, _, config: cls(config))  # overwritten by the checkpoint
        whole._small = True
    settings = types.SimpleNamespace(lora_r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj"], lora_dropout=0.0)
    model = whole.DPOBlip2VicunaInstruct(img_size=JOB["eva"]["image_size"], vit_precision="fp32", llm_model=str(FOLDER / "llm"),
                                         num_query_token=JOB["queries"], lora_config=settings if lora else None)
    found = model.load_from_pretrained(str(FOLDER / "instruct_blip_vicuna13b_trimmed.pth"))
    missing = [n for n in found.missing_keys if not n.startswith(("visual_encoder.", "llm_model."))]
    assert not missing, missing
    with torch.no_grad():  # upstream draws the row of [PAD] at random; ours is zero
        for table in (model.llm_model.get_input_embeddings(), model.llm_model.get_output_embeddings()):
            table.weight[JOB["tokens"]:] = 0
    return model.eval()


def set_adapter(llm):
    stored = load_file(Path(JOB["adapter"]) / "adapter_model.safetensors")
    weights = {name: weight for name, weight in llm.named_parameters() if "lora_" in name}
    assert len(stored) == len(weights)
    with torch.no_grad():
        for name, weight in stored.items():
            weights[name.replace(".weight", ".default.weight")].copy_(weight)
    return {name.replace(".default", ""): weight for name, weight in weights.items()}


def trainer(kind, model, reference):
    import hadpo_trainer.base_dpo_trainer as base
    if kind == "minigpt4":
        from hadpo_trainer.minigpt4_dpo_trainer import MiniGPT4DPOTrainer as Trainer
    else:
        from hadpo_trainer.instructblip_dpo_trainer import InstructBLIPDPOTrainer as Trainer
    out = types.SimpleNamespace(
        model=model, ref_model=reference, beta=0.1, gamma=JOB["gamma"], is_encoder_decoder=False, label_pad_token_id=-100,
        reference_free=False, use_dpo_data_collator=True, accelerator=types.SimpleNamespace(is_main_process=False))
    for name in ("dpo_loss", "_get_batch_logps", "get_batch_metrics", "concatenated_forward", "compute_loss"):
        method = getattr(Trainer, name, None) or getattr(base.BaseDPOTrainer, name)
        setattr(out, name, types.MethodType(method, out))
    return out


def one_step(kind, out):
    """Loss and gradients of the first pair (and, for MiniGPT-4, the first auxiliary sample) from the given adapter."""
    build = minigpt4 if kind == "minigpt4" else instructblip
    model, reference = build(lora=True), build(lora=kind != "minigpt4")
    weights = set_adapter(model.llama_model if kind == "minigpt4" else model.llm_model)
    row, pixels = JOB["rows"][0], load_file(JOB["pictures"])
    pair = {"image": pixels[row["image"]], "chosen": row["chosen"], "rejected": row["rejected"], "prompt": row["question"],
            "data_type": "pope"}
    if kind == "minigpt4":
        sample = JOB["samples"][0]
        extra = {"image": pixels[sample["image"]], "chosen": sample["answer"], "rejected": "", "prompt": "", "data_type": "ccsbualign"}
        model.prompt_list = [model.prompt_template.format(f"<Img><ImageHere></Img> {sample['question']}")]
        inputs = {key: [[pair[key], extra[key]]] for key in pair}
    else:
        inputs = {key: [pair[key]] for key in pair}
    loss = trainer(kind, model, reference).compute_loss(None, inputs)
    loss.backward()
    out["loss"] = loss.detach().reshape(1)
    out |= {f"gradient/{name}": weight.grad.clone() for name, weight in weights.items()}


def minigpt4_figures(out):
    import minigpt4.conversation.conversation as conversation
    model = minigpt4(lora=False)
    row, pixels = JOB["rows"][0], load_file(JOB["pictures"])[JOB["rows"][0]["image"]]
    vision_figures(model, out)
    inputs = model.prepare_minigpt4_dpo_inputs({"image": [pixels], "data_type": ["pope"], "prompt": [row["question"]],
                                                "chosen": [row["chosen"]], "rejected": [row["rejected"]]})
    embeds, mask = inputs["concatenated_input_embeds"], inputs["concatenated_attention_mask"]
    logits = model.llama_model(inputs_embeds=embeds, attention_mask=mask).logits
    for side, name in enumerate(("chosen", "rejected")):
        out[f"labels.{name}"] = inputs["concatenated_labels"][side][inputs["concatenated_labels"][side] != -100]
        out[f"logits.{name}"] = logits[side][mask[side] == 1]
    out["projected"] = model.encode_img(pixels[None])[0][0]
    chat = conversation.Chat(model, None, device="cpu")
    for name, beams in (("greedy_ids", 1), ("beam5_ids", 5)):
        talk = conversation.CONV_VISION_LLama2.copy()
        images = []
        chat.upload_img(pixels[None], talk, images)
        chat.ask(JOB["question"], talk)
        _, ids = chat.answer(talk, images, num_beams=beams, do_sample=False, max_new_tokens=JOB["new_tokens"])
        out[name] = torch.tensor(ids)


def instructblip_figures(out):
    import vigc.models.blip2_models.blip2_vicuna_instruct_dpo  # noqa: F401
    model = instructblip(lora=True)
    row, pixels = JOB["rows"][0], load_file(JOB["pictures"])[JOB["rows"][0]["image"]]
    vision_figures(model, out)
    rows, atts = model.extract_visual_embeddings(pixels[None], [row["question"]])
    out["projected"] = rows[0]
    model.llm_tokenizer.padding_side, model.llm_tokenizer.truncation_side = "right", "left"
    tokens = model.llm_tokenizer([row["question"]], return_tensors="pt", padding="longest", truncation=True, max_length=128)
    embeds, mask, labels = model.build_inputs_and_targets([row["chosen"], row["rejected"]], tokens, rows, atts, "cpu")
    logits = model.llm_model(inputs_embeds=embeds, attention_mask=mask, return_dict=True).logits
    for side, name in enumerate(("chosen", "rejected")):
        out[f"labels.{name}"] = labels[side][labels[side] != -100]
        out[f"logits.{name}"] = logits[side][mask[side] == 1]
    kept = []
    decode = model.llm_tokenizer_for_generate.batch_decode
    model.llm_tokenizer_for_generate.batch_decode = lambda ids, **more: (kept.append(ids.clone()), decode(ids, **more))[1]
    model.generate({"image": pixels[None], "prompt": [JOB["question"]]}, max_length=JOB["new_tokens"] + 1)
    out["beam5_ids"] = kept[0][0]


def main():
    torch.set_num_threads(1)
    prepare()
    out = {}
    with torch.no_grad():
        (minigpt4_figures if JOB["family"] == "minigpt4" else instructblip_figures)(out)
    one_step(JOB["family"], out)
    save_file({name: value.detach().contiguous().clone() for name, value in out.items()}, JOB["out"])


if __name__ == "__main__":
    main()
