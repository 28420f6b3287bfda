#!/usr/bin/env python3
"""Writes Tests/Fixtures/adapters: LoRA adapters over whole vision-language models by peft, and what peft computes with them.

Needs the packages of Tests/Parity/requirements.txt, and Tests/Fixtures/llava and Tests/Fixtures/instructblip. Deterministic for
given package versions; expected.json names them.

On llava/old-f32, processor pad, template hadpo-train:
  llava-names/     target_modules ["q_proj", "v_proj"]: pairs on the language model and on the CLIP tower, also behind the block that
                   LLaVA reads
  llava-all/       "all-linear": the projector too; rank_pattern, alpha_pattern with expressions and with names, use_rslora
  llava-saved/     q_proj and the projector in full (modules_to_save), dropout 0.05
On instructblip/hf, template hf:
  blip-all/        "all-linear": EVA's fused qkv, the Q-Former, the projection
Each folder holds what peft saves, and expected.safetensors (fp32)
  vision.features, projected, logps             as in make_llava.py, for `question` and `completion` of expected.json; blip-all: logps
  logits [8, V]                                 of the last eight positions, which see all others
  off.logits                                    with the adapter disabled (modules_to_save too)
and of LLaVA, for the pairs of llava/dpo
  {policy,base}.PAIR.{chosen,rejected}          token log-probabilities before step 1, pairs 0 and 1
  change.{base,start}/NAME                      of every pair of the language model after STEPS steps, all else frozen, with the
                                                reference base (adapter disabled) or start (the adapter as it was)
expected.json: the losses of those steps.
"""
import copy
import json
import shutil
import sys
import warnings
from pathlib import Path

import peft
import sentencepiece
import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Parity"))
import blip  # noqa: E402
import blip_text  # noqa: E402
import dpo  # noqa: E402
import make_instructblip  # noqa: E402
import make_llava  # noqa: E402
import make_minigpt4  # noqa: E402
import oracle  # noqa: E402

HERE = Path(__file__).resolve().parent / "adapters"
STEPS, ROWS = 6, 8
QUESTION, COMPLETION, PICTURE = "What is on the table?", "A red cup and a cat.", "wide.jpg"
PATTERNS = dict(
    rank_pattern={"v_proj": 3, r"language_model\.layers\.[01]\.mlp\.(up|down)_proj": 1, "linear_1": 4},
    alpha_pattern={"v_proj": 5, "model.language_model.layers.2.self_attn.q_proj": 9, r"layers\.\d+\.self_attn\.q_proj": 2.5})
CASES = {
    "llava-names": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "llava-all": dict(r=2, lora_alpha=3, target_modules="all-linear", use_rslora=True, **PATTERNS),
    "llava-saved": dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["multi_modal_projector"], lora_dropout=0.05),
}
VERSIONS = {p.__name__: p.__version__ for p in (torch, transformers, peft)}


def wrapped(model, seed, **config):
    """A copy with an adapter whose B, and whose projector, are not where they start."""
    torch.manual_seed(seed)
    policy = peft.get_peft_model(copy.deepcopy(model), peft.LoraConfig(task_type="CAUSAL_LM", **config))
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.1)
            elif "modules_to_save" in name:
                weight.add_(torch.randn(weight.shape) * 0.05)
    return policy.eval()


def saved(policy, model, folder):
    """The adapter as peft opens it again: saving sorts the patterns, and the first that fits counts."""
    policy.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    if isinstance(config["target_modules"], list):  # a set, in the order of this process
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2) + "\n")
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), folder, is_trainable=True).eval()


def write(folder, tensors, **record):
    tensors |= {name: tensors[name][-ROWS:] for name in ("logits", "off.logits")}
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}, folder / "expected.safetensors")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors' own is for the owner alone
    (folder / "expected.json").write_text(json.dumps({**record, "versions": VERSIONS}, indent=1) + "\n")


def train(policy, sides, reference):
    """Pairs of the language model alone, as dpo.run; what else the adapter holds stays."""
    policy = copy.deepcopy(policy)
    for name, weight in policy.named_parameters():
        weight.requires_grad_("lora_" in name and "language_model" in name)
    weights = {dpo.key(name): weight for name, weight in policy.named_parameters() if weight.requires_grad}
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        first = [[dpo.token_logps(policy, side) for side in both] for both in sides]
        with policy.disable_adapter():
            base = [[dpo.token_logps(policy, side) for side in both] for both in sides]
    compared = base if reference == "base" else first
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        terms = []
        for n in (2 * step % len(sides), (2 * step + 1) % len(sides)):
            (pc, pr), (rc, rr) = [dpo.token_logps(policy, side).sum() for side in sides[n]], [t.sum() for t in compared[n]]
            terms.append(-torch.nn.functional.logsigmoid(0.1 * ((pc - rc) - (pr - rr))))
        loss = torch.stack(terms).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    change = {f"change.{reference}/{name}": weight.detach() - start[name] for name, weight in weights.items()}
    logps = {f"{kind}.{n}.{side}": t for kind, both in (("policy", first), ("base", base)) for n in (0, 1)
             for side, t in zip(("chosen", "rejected"), both[n])}
    return losses, change | logps


def llava_case(name, config, model, encode):
    folder = HERE / name
    policy = saved(wrapped(model, 31, **config), model, folder)
    size = model.config.vision_config.image_size
    pixels = oracle.pixels(make_llava.HERE / "pictures" / PICTURE, size, pad=True)
    text = oracle.prompt_text("hadpo-train", QUESTION)
    ids, completion = oracle.prompt_ids(encode, text), oracle.answer_ids(encode, text, COMPLETION)
    out = {key: value for key, value in oracle.inspect(policy.get_base_model(), pixels, ids + completion).items()
           if key in ("vision.features", "projected", "logits")}
    out["logps"] = oracle.logps(out["logits"], completion)
    with policy.disable_adapter():
        out["off.logits"] = oracle.inspect(policy.get_base_model(), pixels, ids + completion)["logits"]
    pairs = dpo.read_pairs(make_llava.HERE / "dpo" / "pairs.jsonl")
    pictures = {p["image"]: oracle.pixels(make_llava.HERE / "pictures" / p["image"], size, pad=True) for p in pairs}
    sides = dpo.both_sides(encode, pairs, pictures)
    losses = {}
    for reference in ("base", "start"):
        losses[reference], tensors = train(policy, sides, reference)
        out |= tensors
    moved = float((out["logits"] - out["off.logits"]).abs().max())
    assert moved > 0.1, moved
    write(folder, out, base="llava/old-f32", processor="pad", template="hadpo-train", question=QUESTION, completion=COMPLETION,
          picture=f"../llava/pictures/{PICTURE}", loss=losses, learning_rate=1e-3, batch=2, steps=STEPS)
    print(f"{name:12} {len(load_file(folder / 'adapter_model.safetensors'))} tensors, logits moved by {moved:.2f}, losses {losses}")


def blip_case():
    folder = HERE / "blip-all"
    fixture = load_file(make_instructblip.HERE / "hf.safetensors")
    vocab = make_instructblip.HERE / "hf" / "qformer_tokenizer" / "vocab.txt"
    stored = json.loads((make_instructblip.HERE / "hf" / "config.json").read_text())
    model = blip.instructblip(
        make_instructblip.TEXT, make_instructblip.HF_VISION,
        make_instructblip.QFORMER | dict(vocab_size=stored["qformer_config"]["vocab_size"], num_hidden_layers=2), 4,
        make_instructblip.BYTE_0, seed=23, original=False, stored=lambda n: torch.float16, tokens=make_minigpt4.TOKENS)
    words = blip_text.InstructBLIP(blip_text.Llama431(make_minigpt4.TOKENIZER, legacy=True), vocab)
    answer = words.answer(COMPLETION)
    ids = [make_instructblip.BYTE_0] * 4 + words.prompt("hf", QUESTION)[1:] + answer
    inputs = dict(pixel_values=fixture["pixel_values"][None], input_ids=torch.tensor([ids]),
                  qformer_input_ids=torch.tensor([words.instruction(QUESTION)]))
    policy = saved(wrapped(model.hf, 32, r=3, lora_alpha=6, target_modules="all-linear"), model.hf, folder)
    with torch.no_grad():
        logits = policy(**inputs).logits[0]
        with policy.disable_adapter():
            off = policy(**inputs).logits[0]
    assert float((off - model.hf(**inputs).logits[0]).abs().max()) == 0
    moved = float((logits - off).abs().max())
    assert moved > 0.1, moved
    write(folder, {"logits": logits, "off.logits": off, "logps": oracle.logps(logits, answer)}, base="instructblip/hf",
          processor="checkpoint", template="hf", question=QUESTION, completion=COMPLETION,
          picture=json.loads((make_instructblip.HERE / "hf.json").read_text())["picture"])
    print(f"blip-all     {len(load_file(folder / 'adapter_model.safetensors'))} tensors, logits moved by {moved:.2f}")


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    encode = sentencepiece.SentencePieceProcessor(model_file=str(make_llava.HERE / "tokenizer" / "tokenizer.model")).encode
    model = make_llava.case_model("old-f32")
    stored = load_file(make_llava.HERE / "old-f32" / "model.safetensors")
    weight = model.model.language_model.layers[0].self_attn.q_proj.weight
    assert torch.equal(stored["language_model.model.layers.0.self_attn.q_proj.weight"], weight), "another base than the fixture's"
    for name, config in CASES.items():
        llava_case(name, config, model, encode)
    blip_case()


if __name__ == "__main__":
    main()
