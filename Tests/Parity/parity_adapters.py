#!/usr/bin/env python3
"""Adapters over whole LLaVAs, and trainings that continue them, against peft and transformers.

For each layout and each kind of adapter that PEFT makes: the library's numbers with the adapter, three steps from it with the
reference at the base and at the start (TRL's `disable_adapter` and its copy of the adapter), what peft makes of the adapter that
the library saves, and what transformers makes of the weights that it merges.
"""
import copy
import sys
import tempfile
import warnings
from pathlib import Path

import peft
import torch
from peft import PeftModel
from transformers import LlavaForConditionalGeneration

import dpo
import host
import oracle
import parity_dpo
import parity_forward
import parity_peft

LIMITS = {"we load peft's adapter: logits": 1e-4, "first step: policy": 1e-5, "first step: reference": 1e-5, "loss": 1e-4,
          "gradient at step 1": 1e-3,
          # AdamW moves an element by its gradient's sign at first, and a few gradients are near rounding.
          "change after 3 steps": 2e-2, "peft loads our adapter: logits": 1e-4, "we load our adapter: logits": 0.0,
          "transformers loads our export: logits": 1e-4}
STEPS = 3
KINDS = {
    "q, v": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=2, lora_alpha=3, target_modules="all-linear", use_rslora=True, rank_pattern={"v_proj": 3, r"linear_\d": 4},
                       alpha_pattern={r"layers\.[01]\.self_attn\.q_proj": 5, "fc1": 7}),
    "saved": dict(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|down_proj)", modules_to_save=["multi_modal_projector"]),
}


def wrapped(model, folder, seed, **config):
    """As peft opens it again, which sorts the patterns; B and the projector are not where they begin."""
    torch.manual_seed(seed)
    policy = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05)
            elif "modules_to_save" in name:
                weight.add_(torch.randn(weight.shape) * 0.02)
    policy.save_pretrained(folder)
    return PeftModel.from_pretrained(copy.deepcopy(model), folder, is_trainable=True).eval()


def train(policy, sides, reference):
    """Losses, the first step's mean log-probabilities and gradients, and the change of the language model's pairs."""
    policy = copy.deepcopy(policy)
    for name, weight in policy.named_parameters():
        weight.requires_grad_("lora_" in name and "language_model" in name)
    weights = {dpo.key(name): weight for name, weight in policy.named_parameters() if weight.requires_grad}
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        if reference == "start":
            compared = [[dpo.token_logps(policy, side).sum() for side in both] for both in sides]
        else:
            with policy.disable_adapter():
                compared = [[dpo.token_logps(policy, side).sum() for side in both] for both in sides]
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses, first, gradients = [], None, None
    for step in range(STEPS):
        optimizer.zero_grad()
        batch = [(2 * step + n) % len(sides) for n in (0, 1)]
        sums = [[dpo.token_logps(policy, side).sum() for side in sides[n]] for n in batch]
        first = first or [float((a + b).detach()) / 2 for a, b in zip(*sums)] + [float(a + b) / 2 for a, b in zip(*(compared[n] for n in batch))]
        loss = torch.stack([-torch.nn.functional.logsigmoid(0.1 * ((pc - rc) - (pr - rr)))
                            for (pc, pr), (rc, rr) in zip(sums, (compared[n] for n in batch))]).mean()
        loss.backward()
        gradients = gradients or {name: weight.grad.clone() for name, weight in weights.items()}
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, first, gradients, {name: weight.detach() - start[name] for name, weight in weights.items()}


def continued(table, engine, folder, start, saved, scratch, sides, policy, reference, where):
    """Our training from `start`, saved into `saved`, beside peft's."""
    config = parity_dpo.settings(scratch, scratch / "pictures", start=start, steps=STEPS)
    del config["lora"]
    losses, first, gradients, change = train(policy, sides, reference)
    with host.hadpo.Model(engine, path=str(folder), processor="pad", adapter=str(start)) as subject:
        records = []
        with host.hadpo.Trainer(subject, **config, reference=dict(model=reference)) as trainer:
            trainer.inspect(scratch / "step.safetensors")
            trainer.run(0, on_event=lambda record: records.append(record) if record["event"] == "step" else None)
            trainer.save(saved)
        trained = parity_peft.our_logits(subject, scratch / "pictures" / "wide420.jpg", scratch)
    tokens = sum(len(answer) for both in sides[:2] for _, _, answer in both) / 4  # mean length of an answer
    names = ("policy_logps/chosen", "policy_logps/rejected", "reference_logps/chosen", "reference_logps/rejected")
    for name, expected in zip(names, first):  # a token
        table.add(f"first step: {name.split('_')[0]}", abs(records[0][name] - expected) / tokens, where)
    parity_dpo.compare_named(table, "gradient at step 1", parity_dpo.gradients(scratch / "step.safetensors"), gradients, where)
    for record, expected in zip(records, losses):
        table.add("loss", abs(record["loss"] - expected), where)
    before, after = (parity_dpo.saved_weights(path) for path in (start, saved))
    assert before.keys() == after.keys(), f"{where}: a continued adapter has other tensors"
    for name, expected in change.items():
        table.add("change after 3 steps", host.distance(after[name] - before[name], expected), f"{where} {name}")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == change.keys(), f"{where}: {sorted(moved ^ change.keys())[:3]}"
    return trained


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    words = host.Vocabulary()
    table = host.Table("Adapters over whole models, and trainings from them, exact, beside peft and transformers", LIMITS)
    with tempfile.TemporaryDirectory() as scratch, host.engine() as engine:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        picture = files["wide420.jpg"]
        rows = [{"image": i, "question": q, "chosen": c, "rejected": r} for i, q, c, r in parity_dpo.PAIRS]
        parity_dpo.write_rows(scratch / "pairs.jsonl", rows)
        prompt = oracle.prompt_ids(words.encode, oracle.prompt_text("hadpo-train", parity_peft.QUESTION))
        for layout, heads in (("old", 2), ("new", 4), ("transformers5", 2)):
            folder = scratch / layout
            model = parity_forward.make(folder, words, layout, "float32", heads, 10000.0, {}, seed=400 + heads)
            size = model.config.vision_config.image_size
            pixels = oracle.pixels(picture, size, pad=True)
            pictures = {name: oracle.pixels(path, size, pad=True) for name, path in files.items() if any(r["image"] == name for r in rows)}
            sides = dpo.both_sides(words.encode, rows, pictures)
            for kind, config in KINDS.items():
                where, start = f"{layout}, {kind}", scratch / f"{layout}-{kind}"
                policy = wrapped(model, start, 12, **config)
                with host.hadpo.Model(engine, path=str(folder), processor="pad", adapter=str(start)) as subject:
                    found = parity_peft.our_logits(subject, picture, scratch)
                    table.add("we load peft's adapter: logits", host.relative(found, parity_peft.hf_logits(policy, prompt, pixels)), where)
                for reference in ("base", "start"):
                    saved = scratch / f"{layout}-{kind}-{reference}"
                    trained = continued(table, engine, folder, start, saved, scratch, sides, policy, reference, f"{where}, {reference}")
                    again = PeftModel.from_pretrained(copy.deepcopy(model), saved).eval()
                    table.add("peft loads our adapter: logits",
                              host.relative(trained, parity_peft.hf_logits(again, prompt, pixels)), where)
                with host.hadpo.Model(engine, path=str(folder), processor="pad", adapter=str(saved)) as subject:
                    table.add("we load our adapter: logits", host.relative(parity_peft.our_logits(subject, picture, scratch), trained), where)
                    subject.export(output=str(scratch / f"{layout}-{kind}-export"))
                exported = LlavaForConditionalGeneration.from_pretrained(
                    scratch / f"{layout}-{kind}-export", dtype=torch.float32, attn_implementation="eager").eval()
                table.add("transformers loads our export: logits",
                          host.relative(trained, parity_peft.hf_logits(exported, prompt, pixels)), where)
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
