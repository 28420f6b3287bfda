"""Prompts and ids of MiniGPT-4 and InstructBLIP as HA-DPO's code makes them (transformers 4.31, slow tokenizers).

A tokenizer here is `encode`, the SentencePiece model with its dummy prefix. IMAGE stands for the whole picture.
"""
import sentencepiece
import tokenizers

import oracle

BOS, EOS = 1, 2
SPECIALS = {"<s>": 1, "</s>": 2, "<unk>": 0}
TRAINING = "[INST] {} [/INST] "
EVALUATION = ("Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
              "Please answer my questions.<s>[INST] {} [/INST] ")
PICTURE = "<Img><ImageHere></Img> "


class Llama431:
    """LlamaTokenizer of transformers 4.31 (slow): text is split at special tokens, each segment goes to SentencePiece."""

    def __init__(self, model_file, legacy):
        self.model = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
        self.legacy = legacy

    def __call__(self, text):
        """Ids without BOS."""
        text = text if self.legacy else "\u2581" + text.replace("\u2581", " ")
        ids = []
        for segment in self._split(text):
            ids += [SPECIALS[segment]] if segment in SPECIALS else self._segment(segment)
        return ids

    @staticmethod
    def _split(text):
        out = [text]
        for special in SPECIALS:
            out = [part for piece in out for part in _cut(piece, special)]
        return [piece for piece in out if piece]

    def _segment(self, text):
        if self.legacy:
            return self.model.encode(text)
        first = text.startswith("\u2581")
        pieces = self.model.encode(text[1:] if first else text, out_type=str)
        if not first and not text.startswith(" ") and pieces and pieces[0].startswith("\u2581"):
            # The prefix is cut off the first piece; what remains is looked up as it is, BPE does not run again.
            pieces = ([pieces[0][1:]] if len(pieces[0]) > 1 else []) + pieces[1:]
        return [self.model.piece_to_id(piece) for piece in pieces]


def _cut(text, special):
    if text in SPECIALS:
        return [text]
    parts = text.split(special)
    return [x for part in parts[:-1] for x in (part, special)] + [parts[-1]]


class MiniGPT4:
    """Prompt and answer ids. `tokenizer` is a Llama431."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def prompt(self, template, question):
        """Training encodes both pieces without BOS and puts one in front; Chat encodes the first with it: the same ids."""
        text = (TRAINING if template == "hadpo-train" else EVALUATION.strip()).format(PICTURE + question)
        before, after = (text if template == "hadpo-train" else text.strip()).split("<ImageHere>")
        return [BOS] + self.tokenizer(before) + [oracle.IMAGE] + self.tokenizer(after)

    def instruction(self, question):
        return None

    def answer(self, text, longest=320):
        return self.tokenizer(text + "</s>")[:longest]


class InstructBLIP:
    """Bare questions. LAVIS makes </s> (2) the tokenizer's BOS; it is registered as a plain string and eats spaces around it."""

    def __init__(self, encode, vocab, start=EOS):
        self.encode, self.start = encode, start
        self.bert = tokenizers.BertWordPieceTokenizer(str(vocab), lowercase=True)

    def prompt(self, template, question, longest=128):
        ids = self.encode(question)
        return [oracle.IMAGE, self.start] + ids[max(0, len(ids) - (longest - 1)):]

    def instruction(self, question, longest=128):
        ids = self.bert.encode(question).ids
        return ids[:1] + ids[max(1, len(ids) - (longest - 1)):]  # cut on the left, between [CLS] and [SEP]

    def answer(self, text, longest=256):
        return (self.encode(text.rstrip()) + [EOS])[:longest - 1]
