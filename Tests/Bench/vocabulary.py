"""Vocabularies of the published ones' kind and size, for models with random weights: Llama's 32,000 pieces as tokenizer.model and as
tokenizer.json, BERT's 30,522 as vocab.txt. They know the words of this repository's texts and of the benchmarks' data, each a token, as the
published ones know common words; what is left of their size is pieces that no text has. Nothing is downloaded.
"""
import json
import re
import struct
from collections import Counter
from pathlib import Path

import data

SPACE = "\u2581"
PIECES, BERT_WORDS = 32000, 30522
TEXTS = ("README.md", "docs/getting-started-c.md", "docs/getting-started-python.md", "docs/troubleshooting.md", "docs/from-ha-dpo.md")


def words():
    """The commonest words of the repository's texts behind those of the benchmarks' data, as they are written."""
    root = Path(__file__).resolve().parents[2]
    count = Counter(word for text in TEXTS for word in re.findall(r"[A-Za-z]+", (root / text).read_text()))
    prompts = ("A chat between a curious human and an artificial intelligence assistant The assistant gives helpful detailed polite answers to "
               "the human questions USER ASSISTANT Describe this image in detail Is there Please answer question yes no Yes No").split()
    known = dict.fromkeys([*prompts, *data.WORDS, *data.OBJECTS])
    known.update(dict.fromkeys(word for word, _ in count.most_common(3000)))
    return list(known)


def llama():
    """[(text, score, kind)] and the merges that make each word: from its left, a letter at a time."""
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    pieces += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    merges, known = [], set()
    for word in words():
        text = SPACE + word
        for end in range(2, len(text) + 1):
            if text[:end] not in known:
                known.add(text[:end])
                merges.append((text[: end - 1], text[end - 1]))
    pieces += [(left + right, -float(rank), 1) for rank, (left, right) in enumerate(merges)]
    letters = [SPACE] + [chr(code) for code in range(0x21, 0x7F)]
    filler = PIECES - len(pieces) - len(letters)
    pieces += [(f"\u2985{number}\u2986", -float(len(merges) + number), 1) for number in range(filler)]
    pieces += [(letter, -float(len(merges) + filler + number), 1) for number, letter in enumerate(letters)]
    return pieces, merges


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def flag(number, value):
    return varint(number << 3) + varint(value)


def write_tokenizer_model(path):
    """SentencePiece's ModelProto: pieces (1), trainer_spec (2: BPE, byte fallback), normalizer_spec (3: identity)."""
    pieces, _ = llama()
    out = bytearray()
    for text, score, kind in pieces:
        out += field(1, field(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + (flag(3, kind) if kind != 1 else b""))
    out += field(2, flag(3, 2) + flag(4, len(pieces)) + flag(35, 1) + flag(40, 0) + flag(41, 1) + flag(42, 2) + varint(43 << 3)
                 + b"\xff" * 9 + b"\x01")
    out += field(3, field(1, b"identity") + flag(3, 1) + flag(4, 0) + flag(5, 1))
    path.write_bytes(bytes(out))


def write_tokenizer_json(path, added):
    """Of the llava-hf folders' kind. `added`: tokens behind the 32,000."""
    pieces, merges = llama()

    def token(number, text):
        return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

    sequence = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [token(i, pieces[i][0]) for i in range(3)] + [token(PIECES + i, text) for i, text in enumerate(added)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": sequence,
                           "pair": sequence + [{"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                                                     {"type": "ByteFallback"}, {"type": "Fuse"},
                                                     {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {text: number for number, (text, _, _) in enumerate(pieces)}, "merges": [f"{a} {b}" for a, b in merges]},
    }, ensure_ascii=False))


def write_bert_words(path):
    """Special tokens where bert-base-uncased has them, letters, words."""
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    lines = [special.get(number, f"[unused{number}]") for number in range(999)]
    letters = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    lines += dict.fromkeys([*letters, *(f"##{letter}" for letter in letters), *(word.lower() for word in words())])
    lines += [f"\u2985{number}\u2986" for number in range(BERT_WORDS - len(lines))]
    path.write_text("\n".join(lines) + "\n")
