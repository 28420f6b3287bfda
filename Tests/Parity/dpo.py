"""HA-DPO training by PyTorch and peft, written plainly: every answer is a sequence of its own with the picture.

loss = mean over the pairs of -log sigmoid(beta * ((pc - rc) - (pr - rr))), p policy, r reference, c chosen, r rejected:
sums of log-probabilities over the answer's tokens, end token included. The reference is the same weights with the
adapter off and the projector as it was at the start.
"""
import copy
import json

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import logsigmoid

import oracle

LINEARS = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()
PROJECTOR = "multi_modal_projector."


def read_pairs(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def attach(model, rank, alpha, seed, std=0.02):
    """A copy of the model with LoRA on all linears of the language model; B is drawn, so that gradients mean something."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, task_type="CAUSAL_LM",
                        target_modules=r".*language_model\.layers\.\d+\..*\.(" + "|".join(LINEARS) + ")")
    policy = get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, std)
    return policy.eval()


def sequence(encode, sample, answer):
    text = sample.get("prompt") or oracle.prompt_text("hadpo-train", sample["question"])
    return oracle.prompt_ids(encode, text), oracle.answer_ids(encode, text, answer)


def token_logps(model, sequence):
    """`sequence`: pixels, prompt ids, answer ids."""
    pixels, prompt, answer = sequence
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    x = torch.tensor([oracle.expand(prompt + answer, base)])
    return oracle.logps(model(input_ids=x, pixel_values=pixels[None], use_cache=False).logits[0], answer)


def both_sides(encode, pairs, pictures):
    """(chosen, rejected) of every pair, as `token_logps` takes them."""
    return [[with_picture(encode, pair, side, pictures) for side in ("chosen", "rejected")] for pair in pairs]


def with_picture(encode, row, answer, pictures):
    return (pictures[row["image"]], *sequence(encode, row, row[answer]))


def key(name):
    """peft's parameter name -> the name in a saved adapter; the projector -> its name in the published checkpoint."""
    if PROJECTOR in name:
        return name[name.index(PROJECTOR):]
    return name.removeprefix("language_model.").replace(".default", "")


def trainable(policy, projector):
    out = {}
    for name, weight in policy.named_parameters():
        weight.requires_grad_("lora_" in name or (projector and PROJECTOR in name))
        if weight.requires_grad:
            out[key(name)] = weight
    return out


def run(policy, sides, *, steps, batch=2, beta=0.1, rate=1e-3, projector=False, flip=None, logps=token_logps, samples=(), gamma=0.0):
    """The whole trajectory. `sides`: per pair the chosen and the rejected sequence, which `logps(policy, sequence)` reads.

    `samples`: sequences whose mean cross-entropy over all answer tokens of the step is added, times `gamma`, as many a
    step as pairs. `flip` names a tensor whose gradient gets the wrong sign, to see that it would be noticed."""
    weights = trainable(policy, projector)
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad(), policy.disable_adapter():
        reference = [[logps(policy, side) for side in both] for both in sides]
    optimizer = torch.optim.AdamW(weights.values(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    record = {"loss": [], "policy_chosen": [], "policy_rejected": []}
    gradients, first = {}, {}
    for step in range(steps):
        optimizer.zero_grad()
        losses = []
        for index in range(step * batch, (step + 1) * batch):
            n = index % len(sides)
            tokens = [logps(policy, side) for side in sides[n]]
            (pc, pr), (rc, rr) = [t.sum() for t in tokens], [t.sum() for t in reference[n]]
            losses.append(-logsigmoid(beta * ((pc - rc) - (pr - rr))))
            record["policy_chosen"].append(float(pc.detach()))
            record["policy_rejected"].append(float(pr.detach()))
            if step == 0:
                first |= {f"policy.{n}.{side}": t.detach() for side, t in zip(("chosen", "rejected"), tokens)}
        loss = torch.stack(losses).mean()
        if gamma:
            extra = [logps(policy, samples[n % len(samples)]) for n in range(step * batch, (step + 1) * batch)]
            entropy = -torch.cat(extra).mean()
            record.setdefault("language_modeling_loss", []).append(float(entropy.detach()))
            loss = loss + gamma * entropy
        loss.backward()
        if step == 0:
            gradients = {name: weight.grad.clone() for name, weight in weights.items()}
        if flip:
            weights[flip].grad.neg_()
        optimizer.step()
        record["loss"].append(float(loss.detach()))
    record["reference_chosen"] = [float(both[0].sum()) for both in reference]
    record["reference_rejected"] = [float(both[1].sum()) for both in reference]
    first |= {f"reference.{n}.{side}": t for n, both in enumerate(reference) for side, t in zip(("chosen", "rejected"), both)}
    change = {name: weight.detach() - start[name] for name, weight in weights.items()}
    return {"record": record, "gradients": gradients, "start": start, "change": change, "logps": first}


def language_model_step(model, sequences, logps=token_logps):
    """Mean cross-entropy over all answer tokens of the batch, and the gradient of every weight that has one."""
    model = copy.deepcopy(model)
    model.requires_grad_(True)
    loss = -torch.cat([logps(model, sequence) for sequence in sequences]).mean()
    loss.backward()
    return float(loss.detach()), {n: w.grad for n, w in model.named_parameters() if w.grad is not None and w.grad.abs().max() > 0}


def worst(found, expected):
    """max over tensors of ||found - expected|| / ||expected||, and its name. Names must agree exactly."""
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())[:4]
    return max((float((found[n] - expected[n]).norm() / expected[n].norm()), n) for n in expected)
