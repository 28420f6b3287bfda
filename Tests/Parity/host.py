"""What the parity scripts share: the library through bindings/python, vocabularies, pictures, and the table of results."""
import os
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import tokenizers
import torch
from PIL import Image
from safetensors import safe_open

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
SHARED = Path(os.environ.get("HADPO_SHARED", ROOT.parent / "shared"))

os.environ.setdefault("HADPO_LIBRARY", str(ROOT / "build" / "lib" / "libhadpo.so"))
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402


def engine():
    return hadpo.Engine(threads=2, numerics="exact")


class Vocabulary:
    """The real Llama vocabulary in both file formats, or the fixtures' small one where it is not at hand."""

    def __init__(self):
        folder = SHARED / "data" / "tokenizers"
        self.real = (folder / "llama" / "tokenizer.model").exists()
        if self.real:
            self.model, self.json = folder / "llama" / "tokenizer.model", folder / "llava-hf" / "tokenizer.json"
        else:
            print(f"SKIPPED: the real Llama vocabulary ({folder} is absent; set HADPO_SHARED); using the fixtures' small one")
            self.model, self.json = (FIXTURES / "tokenizer" / name for name in ("tokenizer.model", "tokenizer.json"))
        slow = sentencepiece.SentencePieceProcessor(model_file=str(self.model))
        fast = tokenizers.Tokenizer.from_file(str(self.json))
        self.size = slow.vocab_size()
        self.image = fast.token_to_id("<image>")
        self.rows = 32064 if self.real else self.size + 4

        def encode(text):
            ids = slow.encode(text)
            assert ids == fast.encode(text, add_special_tokens=False).ids, text
            return ids

        self.encode = encode


def pictures(folder):
    """Non-square pictures of every kind that matters here, as {name: path}."""
    folder.mkdir(parents=True, exist_ok=True)

    def waves(w, h, seed):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:h, 0:w] / max(w, h)
        parts = [np.sin(rng.uniform(3, 60) * x + rng.uniform(3, 60) * y + rng.uniform(0, 6)) for _ in range(9)]
        rgb = np.stack([sum(parts[c::3]) / 3 for c in range(3)], -1) + rng.normal(0, 0.05, (h, w, 3))
        return Image.fromarray(np.clip(127.5 + 127.5 * rgb, 0, 255).round().astype(np.uint8))

    wide, tall, small = waves(320, 243, 1), waves(150, 401, 2), waves(40, 31, 3)
    wide.save(folder / "wide420.jpg", quality=90, subsampling=2)
    tall.save(folder / "tall444.jpg", quality=70, subsampling=0, progressive=True)
    tall.convert("L").save(folder / "grey.jpg", quality=85)
    wide.save(folder / "wide.png")
    small.save(folder / "small.png")
    tall.quantize(64).save(folder / "palette.png")
    alpha = wide.copy()
    alpha.putalpha(waves(320, 243, 4).convert("L"))
    alpha.save(folder / "alpha.png")
    return {p.name: p for p in sorted(folder.iterdir())}


def tensors(path):
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def relative(found, expected):
    """Activations: largest difference over largest absolute value."""
    if found.shape != expected.shape:
        return float("inf")
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max().clamp_min(1e-30))


def distance(found, expected):
    """Gradients and updates: L2 distance over L2 norm, of one tensor."""
    if found.shape != expected.shape:
        return float("inf")
    return float((found.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-30))


class Table:
    """Worst deviation of each quantity against its limit; a quantity that was never compared fails."""

    def __init__(self, title, limits):
        self.title, self.limits = title, limits
        self.worst = {name: (-1.0, "never compared") for name in limits}
        self.count, self.notes, self.failed = dict.fromkeys(limits, 0), [], False

    def add(self, quantity, deviation, where):
        self.count[quantity] += 1
        deviation = float("inf") if deviation != deviation else deviation
        if deviation > self.worst[quantity][0]:
            self.worst[quantity] = (deviation, where)

    def same(self, quantity, found, expected, where):
        ok = list(found) == list(expected)
        self.add(quantity, 0.0 if ok else float("inf"), where)
        if not ok:
            self.notes.append(f"{quantity}, {where}: found {list(found)}, expected {list(expected)}")
        return ok

    def fail(self, text):
        """A comparison that could not be made at all."""
        self.failed = True
        self.notes.append(text)

    def note(self, text):
        self.notes.append(text)

    def report(self):
        print(f"\n{self.title}")
        good = not self.failed
        for name, limit in self.limits.items():
            worst, where = self.worst[name]
            ok = 0 <= worst <= limit
            good &= ok
            print(f"  {'ok  ' if ok else 'FAIL'} {name:34} worst {max(worst, 0):9.2e}  limit {limit:7.1e}  "
                  f"{self.count[name]:5} compared  {where}")
        for note in self.notes[:20]:
            print("  note:", note)
        sys.stdout.flush()
        return good
