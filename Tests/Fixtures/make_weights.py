#!/usr/bin/env python3
"""Writes Tests/Fixtures/weights: files of torch.save, safetensors and peft as those packages write them.

Needs the packages of Tests/Parity/requirements.txt. Deterministic for given package versions,
but for the storages' keys in legacy files, which are addresses.

  expected.safetensors     every tensor of the torch files, made dense; written by the safetensors package
  zip.bin legacy.bin       the same tensors as views, slices, transposes, shared and expanded storages, with things that are no
                           tensors between them, in both forms of torch.save
  protocol4.bin            the zip form with pickle protocol 4
  nested-*.pth             under `model` (with an optimizer, an argparse namespace and counters beside it), `state_dict`, `module`
  sharded/                 pytorch_model.bin.index.json with two shards
  compressed.bin           zip.bin packed again with deflate
  hostile.bin              a tensor beside an object whose unpickling would run a command
  adapter-*/               LoRA adapters by peft: `original` and `bin` on a Llama, `hf` on a LLaVA of transformers
  adapter-bin/non_lora_trainables.bin   upstream's form of the trained projector
"""
import argparse
import collections
import json
import os
import shutil
import zipfile
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent / "weights"


class Command:
    """Unpickling would create the file `pickle-was-executed` in the current folder."""

    def __reduce__(self):
        return os.system, ("touch pickle-was-executed",)


def state_dict():
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(6, 8, generator=generator)
    tensors = collections.OrderedDict()
    tensors["f32"] = base
    tensors["tied"] = base
    tensors["rows"] = base[2:4]
    tensors["columns"] = base[:, 1:7:2]
    tensors["transposed"] = base.t()
    tensors["expanded"] = base[0:1].expand(3, 8)
    tensors["parameter"] = torch.nn.Parameter(torch.randn(3, generator=generator))
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["ones"] = torch.randn(4, 1, 1, generator=generator).transpose(0, 1)
    tensors["channels_last"] = torch.randn(1, 2, 3, 4, generator=generator).contiguous(memory_format=torch.channels_last)
    for dtype in ["float16", "bfloat16", "float64"]:
        tensors[dtype] = torch.randn(5, generator=generator).to(getattr(torch, dtype))
    for dtype in ["int64", "int32", "int16", "int8", "uint8"]:
        tensors[dtype] = torch.arange(7).to(getattr(torch, dtype))
    tensors["bool"] = torch.tensor([True, False, True])
    return tensors


def torch_files(tensors):
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()},
              HERE / "expected.safetensors", metadata={"format": "pt"})
    mixed = collections.OrderedDict(tensors, note="no tensor", numbers=[1, 2.5, None, True, 1 << 70], complex=torch.zeros(2, dtype=torch.complex64))
    mixed["uint16"] = torch.tensor([0, 1, 2], dtype=torch.uint16)
    torch.save(mixed, HERE / "zip.bin")
    torch.save(mixed, HERE / "protocol4.bin", pickle_protocol=4)
    plain = collections.OrderedDict(tensors, note="no tensor", numbers=[1, 2.5, None, True, 1 << 70])
    torch.save(plain, HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    weight = torch.nn.Parameter(tensors["f32"].clone())
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    small = {"f32": tensors["f32"], "scalar": tensors["scalar"]}
    torch.save({"model": small, "optimizer": optimizer.state_dict(), "config": argparse.Namespace(lr=0.1, names=["a"]),
                "scaler": {}, "epoch": 3, "lr": torch.tensor(0.1)}, HERE / "nested-model.pth")
    torch.save({"state_dict": small, "epoch": 3}, HERE / "nested-state_dict.pth")
    torch.save({"module": {"model": small}}, HERE / "nested-module.pth", _use_new_zipfile_serialization=False)
    torch.save({"f32": tensors["f32"], "command": Command()}, HERE / "hostile.bin")
    with zipfile.ZipFile(HERE / "zip.bin") as source, zipfile.ZipFile(HERE / "compressed.bin", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.namelist():
            packed.writestr(zipfile.ZipInfo(entry), source.read(entry), zipfile.ZIP_DEFLATED)
    shards = HERE / "sharded"
    shards.mkdir()
    names = list(tensors)
    parts = [names[:8], names[8:]]
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for number, part in enumerate(parts, 1):
        name = f"pytorch_model-{number:05d}-of-{len(parts):05d}.bin"
        torch.save({key: tensors[key] for key in part}, shards / name)
        index["weight_map"].update({key: name for key in part})
    (shards / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


def randomised(model):
    """B starts at zero: give every adapter tensor a value."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


TEXT = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, vocab_size=16)


def adapters():
    def save(model, name, **options):
        model.save_pretrained(HERE / name, **options)
        (HERE / name / "README.md").unlink(missing_ok=True)
        settings = json.loads((HERE / name / "adapter_config.json").read_text())
        if isinstance(settings["target_modules"], list):  # a set, in the order of this process
            settings["target_modules"].sort()
        (HERE / name / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    def llama():
        torch.manual_seed(3)
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT))

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    save(randomised(peft.get_peft_model(llama(), config)), "adapter-original")
    config = peft.LoraConfig(r=2, lora_alpha=16, use_rslora=True, target_modules=["q_proj", "k_proj", "v_proj"], task_type="CAUSAL_LM")
    save(randomised(peft.get_peft_model(llama(), config)).to(torch.bfloat16), "adapter-bin", safe_serialization=False)
    projector = {f"base_model.model.model.mm_projector.{index}.{kind}": torch.full(shape, float(index) + 0.5)
                 for index, columns in [(0, 6), (2, 8)] for kind, shape in [("weight", (8, columns)), ("bias", (8,))]}
    torch.save(projector, HERE / "adapter-bin" / "non_lora_trainables.bin")
    llava = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
                                                    image_size=8, patch_size=4),
        text_config=transformers.LlamaConfig(**TEXT), image_token_id=15))
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|down_proj)", task_type="CAUSAL_LM")
    save(randomised(peft.get_peft_model(llava, config)), "adapter-hf")


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    torch_files(state_dict())
    adapters()


if __name__ == "__main__":
    main()
