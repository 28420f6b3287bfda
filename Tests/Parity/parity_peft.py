#!/usr/bin/env python3
"""Folders that the library writes, read by the original packages: its adapters by peft, its exports by transformers."""
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from transformers import LlavaForConditionalGeneration

import dpo
import host
import oracle
import parity_dpo
import parity_forward

LIMITS = {"peft loads our adapter: logits": 1e-4, "we load peft's adapter: logits": 1e-4,
          "transformers loads our export: logits": 1e-4, "we load our export: logits": 1e-4}
QUESTION = "Describe this image in detail."


def hf_logits(model, prompt, pixels):
    """`prompt` holds IMAGE; the model may be wrapped by peft."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.no_grad():
        x = torch.tensor([oracle.expand(prompt, base)])
        return model(input_ids=x, pixel_values=pixels[None], use_cache=False).logits[0].float()


def our_logits(subject, path, scratch):
    with host.hadpo.Image.open(path) as image:
        subject.inspect(scratch / "inspect.safetensors", image, question=QUESTION, template="hadpo-train")
    return host.tensors(scratch / "inspect.safetensors")["logits"]


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    words = host.Vocabulary()
    table = host.Table("Adapters and exports, exact, read by peft and transformers", LIMITS)
    with tempfile.TemporaryDirectory() as scratch, host.engine() as engine:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        path = files["wide420.jpg"]
        rows = [{"image": i, "question": q, "chosen": c, "rejected": r} for i, q, c, r in parity_dpo.PAIRS]
        parity_dpo.write_rows(scratch / "pairs.jsonl", rows)
        prompt = oracle.prompt_ids(words.encode, oracle.prompt_text("hadpo-train", QUESTION))
        for layout, dtype, heads in (("old", "float32", 2), ("new", "float32", 4), ("transformers5", "float32", 2),
                                     ("original", "float32", 4)):
            folder, saved = scratch / layout, scratch / f"{layout}-saved"
            model = parity_forward.make(folder, words, layout, dtype, heads, 10000.0, {}, seed=300 + heads)
            pixels = oracle.pixels(path, model.config.vision_config.image_size, pad=True)
            start = scratch / f"{layout}-peft"
            policy = dpo.attach(model, rank=4, alpha=8, seed=12)
            policy.save_pretrained(start)
            with host.hadpo.Model(engine, path=str(folder), processor="pad") as subject:
                base = our_logits(subject, path, scratch)
                subject.load_adapter(str(start))
                found = our_logits(subject, path, scratch)
                assert host.relative(found, base) > 1e-2, f"{layout}: the adapter changes nothing"
                expected = hf_logits(policy, prompt, pixels)
                table.add("we load peft's adapter: logits", host.relative(found, expected), layout)
                subject.unload_adapter()
                config = parity_dpo.settings(scratch, scratch / "pictures", start=start, projector=False, steps=3)
                with host.hadpo.Trainer(subject, **config) as trainer:
                    trainer.run(0)
                    trainer.save(saved)
                subject.load_adapter(str(saved))
                trained = our_logits(subject, path, scratch)
                assert host.relative(trained, found) > 1e-3, f"{layout}: training changes nothing"
                subject.export(output=str(scratch / f"{layout}-export"))
            if layout == "original":
                # Nothing but upstream's own code reads an original folder: only the names are checked here.
                names = set(parity_dpo.saved_weights(saved))
                assert all(n.startswith("base_model.model.model.layers.") for n in names if "lora_" in n), sorted(names)[:2]
            else:
                loaded = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
                adapted = PeftModel.from_pretrained(loaded, saved).eval()
                table.add("peft loads our adapter: logits", host.relative(trained, hf_logits(adapted, prompt, pixels)), layout)
                exported = LlavaForConditionalGeneration.from_pretrained(
                    scratch / f"{layout}-export", dtype=torch.float32, attn_implementation="eager").eval()
                table.add("transformers loads our export: logits",
                          host.relative(trained, hf_logits(exported, prompt, pixels)), layout)
            # An original folder only names its vision tower, and so does its export.
            tower = dict(vision_tower=str(folder / "openai/clip-vit-tiny-patch14-42")) if layout == "original" else {}
            with host.hadpo.Model(engine, path=str(scratch / f"{layout}-export"), processor="pad", **tower) as subject:
                table.add("we load our export: logits", host.relative(our_logits(subject, path, scratch), trained), layout)
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
