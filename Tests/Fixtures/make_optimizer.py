#!/usr/bin/env python3
"""Writes Tests/Fixtures/optimizer.json: what transformers' schedules and PyTorch's AdamW with clipping make of small numbers.

    make_optimizer.py     needs torch and transformers
"""
import json
import random
from pathlib import Path

import torch
import transformers

STEPS = 12


def schedules():
    out = []
    for kind, name in (("cosine", "cosine"), ("linear", "linear"), ("constant", "constant_with_warmup")):
        for warmup in (0, 1, 3, 12):
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            schedule = transformers.get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS)
            factors = []
            for _ in range(STEPS):
                factors.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            out.append({"kind": kind, "warmup": warmup, "steps": STEPS, "factors": factors})
    return out


def steps(seed, decay, clip):
    """A matrix and a vector; upstream's Trainer does not decay vectors."""
    rng = random.Random(seed)
    shapes = ([2, 3], [3])
    values = [[rng.uniform(-1, 1) for _ in range(6)], [rng.uniform(-1, 1) for _ in range(3)]]
    gradients = [[[rng.uniform(-3, 3) for _ in part] for part in values] for _ in range(4)]
    rates = [0.1, 0.05, 0.2, 0.01]
    parameters = [torch.nn.Parameter(torch.tensor(part, dtype=torch.float32).reshape(shape)) for part, shape in zip(values, shapes)]
    optimizer = torch.optim.AdamW([{"params": parameters[:1], "weight_decay": decay}, {"params": parameters[1:], "weight_decay": 0.0}],
                                  lr=1.0, betas=(0.9, 0.95), eps=1e-8)
    norms, after = [], []
    for gradient, rate in zip(gradients, rates):
        for parameter, part, shape in zip(parameters, gradient, shapes):
            parameter.grad = torch.tensor(part, dtype=torch.float32).reshape(shape)
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, clip if clip > 0 else float("inf"))))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        after.append([parameter.detach().flatten().tolist() for parameter in parameters])
    return {"weight_decay": decay, "max_grad_norm": clip, "values": values, "gradients": gradients, "rates": rates, "norms": norms,
            "after": after}


def main():
    cases = [steps(1, 0.0, 0.0), steps(2, 0.1, 0.0), steps(3, 0.0, 0.5), steps(4, 0.1, 100.0), steps(5, 0.05, 1.0)]
    text = json.dumps({"schedules": schedules(), "adamw": cases}, indent=1)
    (Path(__file__).parent / "optimizer.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
