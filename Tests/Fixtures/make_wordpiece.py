#!/usr/bin/env python3
"""Writes Tests/Fixtures/text/wordpiece: a small uncased vocabulary in both forms, and what transformers makes of texts.

    make_wordpiece.py            needs transformers (4.31, whose slow tokenizer HA-DPO used, and 5 give the same; no torch needed)

vocab.txt, json/tokenizer.json (with [DEC] added), and ids.json: with [CLS] and [SEP], without, and cut on the left to 8.
"""

import json
import os
import shutil

from transformers import BertTokenizer, BertTokenizerFast

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "text", "wordpiece")
WORDS = """describe this image in detail . is there a dog the what ? no yes , ! ' - ( ) [ ] < > / * $ ~ ` | ^ + = @ # { } " : ;
cafe naive uber strasse ss \u00df \u03c3 \u03c2 \u03bf\u03b4\u03bf\u03c3 i \u0131 \u4e2d \u6587 \u8c48 \ud55c \u1112\u1161\u11ab \u1112
dec sep cls unk mask \u0928 \u0927 \u0915 \u00ab \u00bb \u2014 \u201c \u201d \u3002 \U0001f436 1 2 3 10 \u00bd two three four five six seven one
##s ##es ##ing ##ed ##0 ##1 ##dog ##\u4e2d ##\u093e ##\u1161 ##\u03c3 ##\U0001f436 ##\u0308 dogs run runn x ##x xx ##xx"""
LETTERS = "abcdefghijklmnopqrtuvwz"

TEXTS = [
    "", " ", "a", " a ", "Describe this image in detail.", "Is there a DOG in the image?", "dogs running, dogs ran", "undogged",
    # accents: composed, decomposed, several marks in either order, letters that do not decompose, lower case of several scalars
    "Caf\u00e9 na\u00efve \u00dcber", "Cafe\u0301 nai\u0308ve U\u0308ber", "a\u0323\u0307 a\u0307\u0323 \u1ea1\u0307", "stra\u00dfe STRA\u1e9eE \u00f8 \u0142",
    "\u0130stanbul I \u0131 \u0149", "\u0399\u0391\u039f\u0394\u039f\u03a3 \u03a3 \u03c2 \u039f\u0394\u039f\u03a3.", "\u1fbc \u01c5 \ufb01 \u2126 \u212a \u212b \u1e9b\u0323",
    "\u0301a \u0301", "a\u20dd b\u0903 \u302e",
    # ideographs: unified, the extensions, compatibility, Hangul and kana (which are none)
    "\u4e2d\u6587", "a\u4e2db \u4e2dx", "\u3400 \U00020000\U0002a700\U0002b740\U0002b820", "\uf900\u8c48 \U0002f800", "\ud55c\uad6d\uc5b4 \u3042\u30ab",
    # control, format, private, replacement, zero; the separators that are white space
    "a\0b\ufffdc", "a\u0001b\u007fc\u0085d\u009fe", "a\u200bb\u200dc\ufeffd\u00ade", "\ue000dog\U000f0000", "a\tb\nc\rd\r\ne\x0bf\x0cg\x1ch",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u1680g\u180eh", "\n", "\n\ndog\n",
    # emoji, with joiner, skin and flag; marks behind them
    "\U0001f436 dogs", "\U0001f436\U0001f436", "\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    # punctuation, ASCII symbols among it, and symbols that are none
    "don't. (a)[b]{c}<d>", "$10 + 2 = ~|^`@#", "\u00abdog\u00bb \u2014 \u201cdog\u201d\u3002 \u20ac\u00a9\u00d7", "a_b-c/d*e", "1.5 \u00bd \u00b2",
    # scripts with vowel signs: Mn goes, Mc stays
    "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0927\u093e\u0915", "\u05e9\u05c1\u05dc\u05d5\u05dd", "\u0e01\u0e33",
    # long words: 100 characters, 101, 100 of four bytes, 99 and an accent that goes
    "x" * 100, "x" * 101, "x" * 101 + " dog", "\U0001f436" * 100, "\U0001f436" * 101, "x" * 99 + "\u00e9", "x" * 100 + "\u0301", "x" * 60 + "-" + "x" * 60,
    # special tokens written out
    "[CLS] dog [SEP]", "dog[SEP]dog", "[cls] [sep]", "[MASK][PAD][UNK]", "[DEC]dog [DEC]", "[dec] DEC", "[CL\0S]", "[[CLS]]", "a [MASK]\n b",
    "one two three four five six seven", "one two three four five", "one two three four five six", "one two [SEP] four five six seven",
]


def pieces():
    listed = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for text in WORDS.split() + list(LETTERS) + ["##" + letter for letter in LETTERS]:
        if text not in listed:
            listed.append(text)
    return listed


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    os.makedirs(os.path.join(HERE, "json"))
    with open(os.path.join(HERE, "vocab.txt"), "w", encoding="utf-8") as file:
        file.write("".join(piece + "\n" for piece in pieces()))

    tokenizer = BertTokenizer.from_pretrained(HERE, truncation_side="left")
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    fast = BertTokenizerFast.from_pretrained(HERE, truncation_side="left")
    fast.add_special_tokens({"bos_token": "[DEC]"})
    fast.backend_tokenizer.save(os.path.join(HERE, "json", "tokenizer.json"))
    cases = []
    for text in TEXTS:
        case = {"text": text, "ids": tokenizer(text).input_ids, "bare": tokenizer(text, add_special_tokens=False).input_ids,
                "left": tokenizer(text, truncation=True, max_length=8).input_ids}
        cases.append(case)
        if fast(text).input_ids != case["ids"]:
            print("the fast tokenizer differs:", ascii(text), fast(text).input_ids, case["ids"])
    with open(os.path.join(HERE, "ids.json"), "w") as file:
        json.dump({"count": len(tokenizer), "dec": tokenizer.convert_tokens_to_ids("[DEC]"), "cases": cases}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
