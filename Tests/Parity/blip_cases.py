"""The random MiniGPT-4 and InstructBLIP models of the comparisons: sizes, folders, how the library opens them."""
import copy
import functools

import blip
import blip_files
import blip_text
import host
import oracle

TEXT = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
            rms_norm_eps=1e-5, max_position_embeddings=2048)
EVA = dict(hidden_size=176, intermediate_size=208, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14)
QFORMER = dict(hidden_size=128, intermediate_size=192, num_hidden_layers=4, num_attention_heads=2, max_position_embeddings=512,
               cross_attention_frequency=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
QUERIES = 8
BYTE_0 = 3  # marks the picture's rows for transformers where the vocabulary has no <image>
PENALTY = 1.5  # InstructBLIP's, with five beams
BERT = host.SHARED / "data" / "tokenizers" / "bert-uncased" / "vocab.txt"
QUESTIONS = ["Describe this image in detail.", "Is there a dog in the image?", "What is on the table? Answer in one word."]
ANSWERS = ["The image features a café, 中 and 3 cats.", "No, there is no dog in the image.", "Yes"]


class Case:
    """One model on disk: `model` (the oracle), `words` (its prompts), `open` (keys of hadpo.model/1), `templates`."""

    @functools.cached_property
    def precise(self):
        return copy.deepcopy(self.model).double()

    def __init__(self, name, folder, seed, *, kind, dtype="float16", sizes={}, pickled=False, image_token=False, legacy=False):
        self.name, self.kind, self.folder = name, kind, folder
        folder.mkdir(parents=True)
        vocabulary = host.Vocabulary()
        self.tokens, slow = vocabulary.size, vocabulary.model
        if not BERT.exists():
            print(f"SKIPPED: the real BERT vocabulary ({BERT} is absent); using a small one")
        vocab = BERT if BERT.exists() else folder / "vocab.txt"
        bert = len(vocab.read_text().splitlines()) if BERT.exists() else blip_files.write_vocabulary(vocab, QUESTIONS)
        vision, gain = EVA | sizes, 2.4 if vocabulary.real else 1.4
        more = dict(seed=seed, tokens=self.tokens, end_gain=gain)
        self.rule, self.penalty = "hf-4.31", 1.0
        if kind == "minigpt4":
            self.model = blip.minigpt4(TEXT | dict(vocab_size=self.tokens), vision, stored=blip_files.published_stored, **more)
            blip_files.save_minigpt4(self.model, folder, self.tokens, slow, legacy=legacy, pickled=pickled)
            self.words = blip_text.MiniGPT4(blip_text.Llama431(slow, legacy))
            self.open = dict(path=str(folder / "llm"), vision_tower=str(folder / blip_files.EVA), checkpoint=str(folder / blip_files.PROJECTION))
            self.templates = ["hadpo-train", "hadpo-eval"]
            return
        qformer, text = QFORMER | dict(vocab_size=bert + 1), TEXT | dict(rms_norm_eps=1e-6)
        self.words = blip_text.InstructBLIP(vocabulary.encode, vocab)
        if kind == "lavis":
            self.model = blip.instructblip(text | dict(vocab_size=self.tokens + 1), vision, qformer, QUERIES, BYTE_0,
                                           stored=blip_files.published_stored, **more)
            blip_files.save_lavis(self.model, folder, self.tokens, slow, vocab, pickled=pickled)
            self.open = dict(path=str(folder / "llm"), vision_tower=str(folder / blip_files.EVA), checkpoint=str(folder / blip_files.TRIMMED),
                             bert=str(folder / "bert-base-uncased"))
            self.templates, self.penalty = ["hadpo-train", "hadpo-eval"], PENALTY
            return
        image = self.tokens + 1 if image_token else None
        self.model = blip.instructblip(text | dict(vocab_size=self.tokens + (4 if image_token else 1)), vision, qformer, QUERIES,
                                       BYTE_0 if image is None else image, stored=lambda _: blip_files.DTYPES[dtype], original=False, **more)
        if kind == "transformers5":
            blip_files.save_instructblip_tf5(self.model, folder, dtype, slow, vocab, image)
        else:
            blip_files.save_instructblip_hf(self.model, folder, dtype, slow, vocab, image, shards=2)
        self.open, self.templates = dict(path=str(folder)), ["hf"]

    def ids(self, template, question, answer):
        return self.words.prompt(template, question), self.words.instruction(question), self.words.answer(answer)

    def pixels(self, path):
        return oracle.square_pixels(path, self.model.image_size)

    def beam_431(self, step, new_tokens):
        return oracle.beam_431(step, 1, 5, new_tokens, repetition_penalty=self.penalty, seen=[blip_text.BOS])[0]
