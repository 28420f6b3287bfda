"""A small SentencePiece vocabulary in the real file formats, trained by sentencepiece itself."""
import io
import json

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as pb


def train(sentences, size):
    """Bytes of a `tokenizer.model` with the settings of the Llama file."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=out, vocab_size=size, model_type="bpe", byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        unk_surface=" \u2047 ", num_threads=1, minloglevel=2)
    return out.getvalue()


def tokenizer_json(model, added, bos=("<s>", 1)):
    """The same vocabulary as llava-hf's `tokenizer.json` holds it: merges by rank, prefix by normaliser.

    `added`: ids of the tokens behind the vocabulary. `bos`: what is put in front of every text."""
    proto = pb.ModelProto.FromString(model)
    vocab = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    rank = {piece.piece: index for index, piece in enumerate(proto.pieces) if piece.type == 1}
    merges = []
    for piece in sorted(rank, key=rank.get):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in rank and piece[i:] in rank]
        merges += [list(pair) for pair in sorted(splits, key=lambda pair: (rank[pair[0]], rank[pair[1]]))]
    names = {0: "<unk>", 1: "<s>", 2: "</s>", **added}
    start, start_id = bos
    special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": name, **special} for i, name in names.items()],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": start, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": start, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": start, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {start: {"id": start, "ids": [start_id], "tokens": [start]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocab, "merges": merges},
    }, ensure_ascii=False, indent=1) + "\n"


def size(path):
    return sentencepiece.SentencePieceProcessor(model_file=str(path)).vocab_size()
