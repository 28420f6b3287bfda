#!/usr/bin/env python3
"""Writes Tests/Fixtures/nn/positions.json: position embeddings on other grids by torch.nn.functional.interpolate. Needs torch."""
import json
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent / "nn"
WIDTH = 3


def main():
    HERE.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(3)
    cases = []
    for old, new in [(4, 6), (4, 9), (6, 4), (7, 3), (5, 1), (1, 3), (2, 5), (8, 12), (4, 4)]:
        table = torch.randn(1, 1 + old * old, WIDTH, generator=generator)
        grid = table[:, 1:].reshape(1, old, old, WIDTH).permute(0, 3, 1, 2)
        grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
        out = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
        cases.append({"old": old, "new": new, "width": WIDTH, "before": table.flatten().tolist(), "after": out.flatten().tolist()})
    (HERE / "positions.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
