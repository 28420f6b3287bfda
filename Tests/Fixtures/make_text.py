#!/usr/bin/env python3
"""Writes Tests/Fixtures/text: small tokenizers and what the original packages make of texts and ids.

One part per package, because transformers 4.31 and 4.57 do not live in one environment:

    make_text.py models   needs protobuf and sentencepiece       folders with tokenizer.model, and sentencepiece.json
    make_text.py fast     needs tokenizers 0.22                   folders with tokenizer.json, and fast.json
    make_text.py slow     needs transformers 4.31 or 4.57         slow-<version>.json (no torch needed)
    make_text.py beams    needs transformers 4.31 or 4.57, torch  beams-<version>.json
"""

import json
import os
import random
import sys
from collections import Counter

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "text")
SPACE = "\u2581"
CORPUS = """A chat between a curious user and an artificial intelligence assistant. USER: Describe this image in detail.
ASSISTANT: The image shows a dog on a table. There is no cat in the image. Is there a person in the image? Yes, there is
a person next to the dog. No, there is no umbrella. The person holds a cup, and the cup is on the table.
caf\u00e9 na\u00efve \u4e2d\u6587 the  two   spaces    here"""


def learn_merges(count):
    """Plain byte pair encoding on the corpus: the pieces in order of their merging."""
    words = Counter()
    for line in CORPUS.split("\n"):
        words[tuple(SPACE + line.replace(" ", SPACE))] += 1
    merges = []
    for _ in range(count):
        pairs = Counter()
        for word, n in words.items():
            for a, b in zip(word, word[1:]):
                if not (SPACE in b and a != SPACE * len(a)):
                    pairs[a, b] += n
        if not pairs:
            break
        (a, b), _ = min(pairs.items(), key=lambda item: (-item[1], item[0]))
        merges.append((a, b))
        merged = Counter()
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if i + 1 < len(word) and (word[i], word[i + 1]) == (a, b):
                    out.append(a + b)
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            merged[tuple(out)] += n
        words = merged
    return merges


def pieces_of_llama_kind():
    """[text, score, type]: unknown, control, bytes, merged pieces by rank, single characters."""
    pieces = [["<unk>", 0.0, 2], ["<s>", 0.0, 3], ["</s>", 0.0, 3]]
    pieces += [["<0x%02X>" % b, 0.0, 6] for b in range(256)]
    seen = {p[0] for p in pieces}
    rank = 0
    # Two pieces that are one string to Unicode but not to a vocabulary: e + combining acute, and the composed letter.
    for text in [a + b for a, b in learn_merges(220)] + sorted(set(CORPUS) - {"\n", " "} | {SPACE, "\u0301", "e\u0301"}):
        if text not in seen:
            seen.add(text)
            pieces.append([text, float(-rank), 1])
            rank += 1
    return pieces


def pieces_with_options():
    """No byte fallback, user-defined symbols (one with a space, one that begins another), unused and reserved pieces."""
    pieces = [["<unk>", 0.0, 2], ["<s>", 0.0, 3], ["</s>", 0.0, 3]]
    pieces += [["<obj>", 0.0, 4], ["<obj>x", 0.0, 4], ["a b", 0.0, 4], [" lead", 0.0, 4]]
    normal = [SPACE + "t", SPACE + "a", "th", "he", "in", "ab", "abc", "abcd", "dog", "do", "og", SPACE + "dog", SPACE + SPACE]
    for rank, text in enumerate(normal):
        pieces.append([text, float(-rank), 5 if text in ("abc", "abcd", SPACE + "dog") else 1])
    for rank, text in enumerate("abcdefghinostx" + SPACE + "\u00e9"):
        pieces.append([text, float(-100 - rank), 1])
    return pieces


def model_bytes(pieces, byte_fallback, dummy, extra, escape):
    from sentencepiece import sentencepiece_model_pb2 as pb

    model = pb.ModelProto()
    special = {}
    for i, (text, score, kind) in enumerate(pieces):
        piece = model.pieces.add()
        piece.piece, piece.score = text, score
        if kind != 1:
            piece.type = kind
        if kind in (2, 3):
            special[text] = i
    trainer = model.trainer_spec
    trainer.model_type = 2
    trainer.vocab_size = len(pieces)
    trainer.byte_fallback = byte_fallback
    trainer.unk_id, trainer.bos_id = special["<unk>"], special["<s>"]
    trainer.eos_id, trainer.pad_id = special["</s>"], special.get("<pad>", -1)
    trainer.unk_surface = " \u2047 "
    trainer.unk_piece, trainer.bos_piece, trainer.eos_piece, trainer.pad_piece = "<unk>", "<s>", "</s>", "<pad>"
    spec = model.normalizer_spec
    spec.name = "identity"
    spec.add_dummy_prefix, spec.remove_extra_whitespaces, spec.escape_whitespaces = dummy, extra, escape
    return model.SerializeToString()


SETTINGS = {  # byte fallback, dummy prefix, remove extra white space, escape
    "llama": (True, True, False, True),
    "options": (False, True, True, True),
    "unescaped": (False, False, False, False),
}


def texts():
    fixed = [
        "", " ", "a", " a", "  a", "a ", "Hello world", "Describe this image in detail.", "\n", "a\nb", "\tTab", "  two  spaces  ",
        "caf\u00e9", "cafe\u0301", "\u4e2d\u6587", "\U0001F436 dog", SPACE + "x" + SPACE, "<0x0A>", "<s>", "</s>", "a</s>b", "<s> a </s> b",
        "a<unk>b", "the dog</s>", "</s>the dog", " <s>the", "USER: <image>\nIs there a dog in the image? ASSISTANT:", "[PAD]",
        "a  </s>  b", "\u00a0nbsp\u00a0", "abcd dog abcabcd", "the <obj>x<obj> a b  lead", "<obj>", "   ", "a\u3000</s>\u3000b",
        "<image><image>", "<image> a", "a <image>", "the\n</s>\nthe", "x" * 50, " " * 40, "<s><s></s>", "<pad>the<pad>",
        "Yes. </s>", "<extra>  dog", "dog  <extra>", "s<extra>t<extra>",
    ]
    rng = random.Random(5)
    alphabet = list("abcdeghinost  xT.") + [
        SPACE, "\n", "\u00e9", "e\u0301", "\u4e2d", "\U0001F600", "</s>", "<s>", "<unk>", "<image>", "<pad>", "<obj>", "<obj>x", " dog",
        "the", " table", " image", "a b", " lead", "\u00a0", "<extra>", "[PAD]",
    ]
    return fixed + ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 24))) for _ in range(40)]


def id_lists(count, extra=()):
    rng = random.Random(6)
    fixed = [[], [0], [1], [2], [1, 2], [13 + 3], [3 + 0xE4, 3 + 0xB8, 3 + 0xAD], [3 + 0xE4, 3 + 0xB8], [3 + 0xE4, 3 + 0xB8, 300]]
    fixed = [f for f in fixed if all(i < count for i in f)]
    pool = list(range(count)) + [0, 1, 2] * 20 + list(extra) * 20
    multi = [3 + b for b in (0xE4, 0xB8, 0xAD, 0xF0, 0x9F, 0x98, 0x80, 0xC3, 0xA9, 0x0A)] if count > 259 else []
    pool += multi * 20
    return fixed + [[rng.choice(pool) for _ in range(rng.randint(1, 14))] for _ in range(40)]


def leading(pieces):
    """Ids whose text begins with several spaces: how many of them does decoding take off?"""
    ids = {text: i for i, (text, _, _) in enumerate(pieces)}
    one, two, word = [next(i for text, i in ids.items() if text in (mark * n + t, " " * n + t)) for mark, n, t in
                      [(SPACE, 1, ""), (SPACE, 2, ""), (SPACE, 1, "t")]]
    return [[one, one, word], [two, one, word], [1, one, one, word], [one, 1, one, word], [one, 0, word], [two, two], [1, two, word]]


def write(name, value):
    os.makedirs(os.path.dirname(os.path.join(HERE, name)), exist_ok=True)
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


def models():
    import sentencepiece

    result = {}
    for name, (byte_fallback, dummy, extra, escape) in SETTINGS.items():
        pieces = pieces_of_llama_kind() if name == "llama" else pieces_with_options()
        if name == "unescaped":
            pieces = [[text.replace(SPACE, " "), score, kind] for text, score, kind in pieces]
        data = model_bytes(pieces, byte_fallback, dummy, extra, escape)
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        with open(os.path.join(HERE, name, "tokenizer.model"), "wb") as f:
            f.write(data)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        encoded = [{"text": t, "ids": processor.encode(t), "decoded": processor.decode(processor.encode(t))} for t in texts()]
        decoded = [{"ids": ids, "text": processor.decode(ids)} for ids in id_lists(len(pieces)) + leading(pieces)]
        result[name] = {"pieces": pieces, "encoded": encoded, "decoded": decoded}
    write("sentencepiece.json", result)

    added = lambda text, **flags: {
        "content": text, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, **flags}
    configs = {
        # transformers' own defaults
        "slow-bare": ({}, None, None),
        "slow-modern": ({"legacy": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True,
                         "add_eos_token": False, "model_max_length": 1000000000000000019884624838656}, None, None),
        # objects for three tokens, a plain string for pad, an added token that is not special
        "slow-map": ({"add_bos_token": True, "legacy": True},
                     {"bos_token": added("<s>"), "eos_token": added("</s>"), "unk_token": added("<unk>"), "pad_token": "[PAD]"},
                     {"<image>": 0, "<extra>": 1, "[PAD]": 2}),
        # plain strings take the white space around them
        "slow-plain": ({"legacy": True}, {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}, None),
        "slow-stripping": ({"legacy": False, "eos_token": dict(added("</s>", lstrip=True, rstrip=True), __type="AddedToken"),
                            "add_eos_token": True}, None, None),
    }
    count = len(pieces_of_llama_kind())
    data = model_bytes(pieces_of_llama_kind(), *SETTINGS["llama"])
    for name, (config, special, extra) in configs.items():
        os.makedirs(os.path.join(HERE, name), exist_ok=True)
        with open(os.path.join(HERE, name, "tokenizer.model"), "wb") as f:
            f.write(data)
        write(name + "/tokenizer_config.json", dict(config, tokenizer_class="LlamaTokenizer"))
        if special:
            write(name + "/special_tokens_map.json", special)
        if extra:
            write(name + "/added_tokens.json", {text: count + offset for text, offset in extra.items()})


def fast():
    import tokenizers

    pieces = pieces_of_llama_kind()
    vocab = {text: i for i, (text, _, _) in enumerate(pieces)}
    order = {text: i for i, (text, _, _) in enumerate(pieces)}
    merges = []
    for text, _, kind in pieces:
        if kind == 1:
            for cut in range(1, len(text)):
                if text[:cut] in vocab and text[cut:] in vocab:
                    merges.append([text[:cut], text[cut:]])
    merges.sort(key=lambda pair: order[pair[0] + pair[1]])
    space_to_mark = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    legacy = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, space_to_mark]}
    base = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    template = {
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    metaspace = lambda scheme, split: {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}
    variants = {  # normalizer, pre_tokenizer, post_processor, decoders, model flags, merges as strings, flags of <extra>
        "fast-legacy": (legacy, None, template, base + strip, {}, False, {}),
        "fast-strings": (legacy, None, template, base + strip, {"unk_token": "<unk>"}, True, {"lstrip": True, "rstrip": True}),
        "fast-first": (None, metaspace("first", False), template, base + strip, {}, False, {"rstrip": True}),
        "fast-split": (None, metaspace("always", True), None, base, {"ignore_merges": True}, False, {"normalized": True}),
        "fast-never": (space_to_mark, metaspace("never", False), template, base, {"byte_fallback": False, "unk_token": "<unk>"}, False, {}),
        "fast-unfused": (legacy, None, template, base + strip,
                         {"byte_fallback": False, "unk_token": "<unk>", "fuse_unk": False}, True, {"normalized": True}),
    }
    result = {}
    for name, (normalizer, pre, post, decoders, flags, strings, extra) in variants.items():
        token = lambda i, text, **more: {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                                         "normalized": False, "special": True, **more}
        added = [token(0, "<unk>"), token(1, "<s>"), token(2, "</s>"), token(len(pieces), "<image>"), token(len(pieces) + 1, "<pad>"),
                 token(len(pieces) + 2, "<extra>", special=False, **extra)]
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                 "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, **flags, "vocab": vocab,
                 "merges": [" ".join(m) for m in merges] if strings else merges}
        whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
                 "pre_tokenizer": pre, "post_processor": post, "decoder": {"type": "Sequence", "decoders": decoders}, "model": model}
        write(name + "/tokenizer.json", whole)
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(whole))
        encoded = []
        for text in texts():
            ids = tokenizer.encode(text).ids
            encoded.append({"text": text, "ids": ids, "bare": tokenizer.encode(text, add_special_tokens=False).ids,
                            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                            "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
        lists = [ids for ids in id_lists(len(pieces), [len(pieces), len(pieces) + 2]) if ids]
        decoded = [{"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                    "skipped": tokenizer.decode(ids, skip_special_tokens=True)} for ids in lists]
        result[name] = {"encoded": encoded, "decoded": decoded}
    write("fast.json", result)


def slow():
    import transformers
    from transformers import LlamaTokenizer

    version = ".".join(transformers.__version__.split(".")[:2])
    result = {}
    for name in ["slow-bare", "slow-modern", "slow-map", "slow-plain", "slow-stripping"]:
        tokenizer = LlamaTokenizer.from_pretrained(os.path.join(HERE, name))
        encoded, decoded = [], []
        for text in texts():
            encoded.append({"text": text, "ids": tokenizer(text).input_ids, "bare": tokenizer(text, add_special_tokens=False).input_ids})
        for ids in id_lists(tokenizer.vocab_size, range(tokenizer.vocab_size, len(tokenizer))):
            decoded.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                            "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
        result[name] = {
            "count": len(tokenizer), "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id,
            "unk": tokenizer.unk_token_id, "encoded": encoded, "decoded": decoded if version == "4.31" else []}
    write("slow-%s.json" % version, result)


BEAM_VOCABULARY, BEAM_STEPS = 12, 7


def beam_table():
    """Logits by position modulo 7, last id and next id: positions matter so that no two sequences have equal sums."""
    rng = random.Random(9)
    n = BEAM_VOCABULARY
    table = [[[round(rng.gauss(0, 1.5), 4) for _ in range(n)] for _ in range(n)] for _ in range(BEAM_STEPS)]
    for step in table:
        for row in step:
            row[0], row[1], row[2] = -9.0, -9.0, round(row[2] + 0.8, 4)
    return table


def beam_cases():
    rng = random.Random(10)
    cases = []
    for early in [False, True, "never"]:
        for penalty in [1.0, 0.0, 2.0, -0.5, 0.6]:
            for _ in range(3):
                beams = rng.choice([2, 3, 5])
                cases.append({
                    "prompt": [1] + [rng.randrange(3, BEAM_VOCABULARY) for _ in range(rng.choice([0, 3, 8]))], "beams": beams,
                    "early_stopping": early, "length_penalty": penalty, "repetition_penalty": rng.choice([1.0, 1.0, 1.5]),
                    "max_new_tokens": rng.choice([1, 4, 9]), "eos": rng.choice([[2], [2], [2, 3]]), "returned": rng.choice([1, beams])})
    return cases


def beams():
    import torch
    import transformers
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

    version = ".".join(transformers.__version__.split(".")[:2])
    try:
        from transformers import GenerationMixin
    except ImportError:
        from transformers.generation import GenerationMixin
    table = torch.tensor(beam_table())

    class ToyConfig(PretrainedConfig):
        model_type = "toy"
        vocab_size = BEAM_VOCABULARY

    class Toy(PreTrainedModel, GenerationMixin):
        config_class = ToyConfig
        main_input_name = "input_ids"

        def __init__(self, config):
            super().__init__(config)
            self.unused = torch.nn.Linear(1, 1)

        def prepare_inputs_for_generation(self, input_ids, **_):
            return {"input_ids": input_ids}

        def can_generate(self):
            return True

        def forward(self, input_ids, return_dict=None, **_):
            rows = table[(input_ids.shape[1] - 1) % BEAM_STEPS][input_ids[:, -1]]
            return CausalLMOutputWithPast(logits=rows[:, None, :])

        def _reorder_cache(self, past_key_values, beam_idx):
            return past_key_values

    toy = Toy(ToyConfig()).eval()
    cases = beam_cases()
    for case in cases:
        if version == "4.31":
            case["eos"] = [2]  # it keeps too few candidates for two
        config = GenerationConfig(
            num_beams=case["beams"], num_return_sequences=case["returned"], early_stopping=case["early_stopping"],
            length_penalty=case["length_penalty"], repetition_penalty=case["repetition_penalty"], pad_token_id=0, bos_token_id=1,
            max_new_tokens=case["max_new_tokens"], eos_token_id=case["eos"], do_sample=False, use_cache=False,
            return_dict_in_generate=True, output_scores=True)
        out = toy.generate(torch.tensor([case["prompt"]]), generation_config=config)
        rows = out.sequences.tolist()
        if version == "4.57":  # pads with EOS where the pad id is 0
            lengths = [len(case["prompt"]) + sum(i >= 0 for i in row) for row in out.beam_indices.tolist()]
            rows = [row[:length] for row, length in zip(rows, lengths)]
        case["sequences"] = [[i for i in row if i != 0] for row in rows]
        case["scores"] = out.sequences_scores.tolist()
    write("beams-%s.json" % version, {"table": beam_table(), "cases": cases, "processed": processed_scores()})


def processed_scores():
    """Scores before and after each processor; null is minus infinity."""
    import torch
    from transformers.generation import logits_process as lp

    rng = random.Random(12)
    makers = [
        ("repetition_penalty", [1.5, 0.8], lambda v: lp.RepetitionPenaltyLogitsProcessor(v)),
        ("temperature", [0.7, 2.0], lambda v: lp.TemperatureLogitsWarper(v)),
        ("top_k", [1, 3, 100], lambda v: lp.TopKLogitsWarper(v)),
        ("top_k_2", [1, 3], lambda v: lp.TopKLogitsWarper(v, min_tokens_to_keep=2)),
        ("top_p", [0.05, 0.5, 0.9, 0.999], lambda v: lp.TopPLogitsWarper(v)),
        ("top_p_2", [0.05, 0.9], lambda v: lp.TopPLogitsWarper(v, min_tokens_to_keep=2)),
    ]
    result = []
    for name, values, maker in makers:
        for value in values:
            for kind in range(3):
                row = [round(rng.gauss(0, 2), 2) for _ in range(16)]
                if kind == 1:  # ties, at the border of top_k as well
                    row = [float(round(v)) for v in row]
                if kind == 2:
                    row[3], row[7] = -float("inf"), max(row)
                history = [rng.randrange(16) for _ in range(6)]
                out = maker(value)(torch.tensor([history]), torch.tensor([row])).tolist()[0]
                clean = lambda values: [None if v == -float("inf") else v for v in values]
                result.append({"name": name, "value": value, "history": history, "before": clean(row), "after": clean(out)})
    return result


if __name__ == "__main__":
    {"models": models, "fast": fast, "slow": slow, "beams": beams}[sys.argv[1]]()
