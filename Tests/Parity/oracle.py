"""What the original packages compute: pixels (Pillow), ids (sentencepiece, tokenizers), network (transformers).

T positions after the image is expanded, V vocabulary rows, P image rows (patches). Prompts are upstream's: the text is
split at "<image>", every chunk is encoded by itself with the dummy prefix, and there is one BOS in front.
"""
import numpy as np
import PIL
import torch
from PIL import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGE = -200  # upstream's placeholder for the whole picture (LLaVA constants.py)
SYSTEM = {
    "hadpo-train": "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
                   "detailed, and polite answers to the user's questions. ",
    "hadpo-eval": "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
                  "detailed, and polite answers to the human's questions. ",
    "hf": "",
}


def prompt_text(template, question):
    return f"{SYSTEM[template]}USER: <image>\n{question} ASSISTANT:"


def prompt_ids(encode, text):
    """`encode` maps a chunk to ids without BOS, with the dummy prefix. One IMAGE entry per picture."""
    chunks = [encode(chunk) for chunk in text.split("<image>")]
    ids = [1] + chunks[0]
    for chunk in chunks[1:]:
        ids += [IMAGE] + chunk
    return ids


def answer_ids(encode, text, answer):
    """Ids that `{text} {answer}</s>` has after those of `text`; </s> is id 2."""
    whole = encode(text.split("<image>")[-1] + " " + answer)
    start = encode(text.split("<image>")[-1])
    assert whole[:len(start)] == start, "the answer's first token would merge into the prompt"
    return whole[len(start):] + [2]


def pixels(path, size, pad):
    """[3, size, size] float32 by transformers' PIL pipeline."""
    # From 13 on, Pillow resizes tall pictures down before across, and rounds between: up to two levels apart.
    assert int(PIL.__version__.split(".")[0]) < 13, "the oracle is Pillow 12 or older, as for HA-DPO's published figures"
    image = Image.open(path)
    kind = LlavaImageProcessorPil if pad else CLIPImageProcessorPil
    processor = kind(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, **({"do_pad": True} if pad else {}))
    out = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"][0].float()
    assert torch.equal(out, _pixels_upstream(image, size, pad)), f"{path}: transformers and upstream's pipeline differ"
    return out


def square_pixels(path, size):
    """[3, size, size] float32 of the EVA models: both sides resized without keeping the ratio, then as torchvision does it."""
    assert int(PIL.__version__.split(".")[0]) < 13, "see pixels"
    image = Image.open(path).convert("RGB")
    x = torch.from_numpy(np.asarray(image.resize((size, size), Image.BICUBIC)).copy()).permute(2, 0, 1).float().div(255)
    out = x.sub(torch.tensor(MEAN)[:, None, None]).div(torch.tensor(STD)[:, None, None]).contiguous()
    processor = BlipImageProcessorPil(size={"height": size, "width": size})
    hf = processor(image, return_tensors="pt")["pixel_values"][0].float()
    assert torch.equal(out, hf), f"{path}: transformers and upstream's pipeline differ by {float((out - hf).abs().max())}"
    return out


def _pixels_upstream(image, size, pad):
    """HA-DPO's own steps (llava/mm_utils.py and CLIPImageProcessor 4.31), written out."""
    image = image.convert("RGB")
    w, h = image.size
    if pad and w != h:
        square = Image.new("RGB", (max(w, h),) * 2, (122, 116, 104))
        square.paste(image, (0, (w - h) // 2) if w > h else ((h - w) // 2, 0))
        image, (w, h) = square, square.size
    short, long = min(w, h), max(w, h)
    scaled = int(size * long / short)
    image = image.resize((size, scaled) if w <= h else (scaled, size), Image.Resampling.BICUBIC)
    w, h = image.size
    left, top = (w - size) // 2, (h - size) // 2
    x = np.asarray(image.crop((left, top, left + size, top + size))).astype(np.float64) * (1 / 255)
    mean = np.array(MEAN, np.float32)
    std = np.array(STD, np.float32)
    return torch.from_numpy(((x.astype(np.float32) - mean) / std).transpose(2, 0, 1).copy())


def expand(ids, model):
    """Replaces IMAGE by as many image tokens as the picture has rows."""
    vision = model.config.vision_config
    rows = (vision.image_size // vision.patch_size) ** 2
    return [x for i in ids for x in ([model.config.image_token_id] * rows if i == IMAGE else [i])]


@torch.no_grad()
def inspect(model, pixel_values, ids):
    """Every figure of one forward pass, by name. `ids` may hold IMAGE and includes the completion."""
    out, hooks = {}, []

    def keep(name):
        def hook(_, __, result):
            out[name] = (result[0] if isinstance(result, tuple) else result)[0].float().clone()
        return hook

    tower = model.model.vision_tower
    for n, layer in enumerate(getattr(tower, "vision_model", tower).encoder.layers):
        hooks.append(layer.register_forward_hook(keep(f"vision.block.{n}")))
    hooks.append(model.model.multi_modal_projector.register_forward_pre_hook(
        lambda _, args: out.__setitem__("vision.features", args[0][0].float().clone())))
    hooks.append(model.model.multi_modal_projector.register_forward_hook(keep("projected")))
    for n, layer in enumerate(model.model.language_model.layers):
        hooks.append(layer.register_forward_hook(keep(f"decoder.block.{n}")))
    try:
        x = torch.tensor([expand(ids, model)])
        out["logits"] = model(input_ids=x, pixel_values=pixel_values[None], use_cache=False).logits[0].float()
    finally:
        for hook in hooks:
            hook.remove()
    out["pixel_values"] = pixel_values
    return out


def logps(logits, completion):
    """Log-probability of each id of `completion`, whose last position is the last row of `logits`."""
    rows = logits[len(logits) - len(completion) - 1:-1]
    return rows.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]


def generate(model, pixel_values, ids, beams, new_tokens):
    """Ids after the prompt by transformers' own `generate`, end token included."""
    x = torch.tensor([expand(ids, model)])
    with torch.no_grad():
        out = model.generate(
            input_ids=x, attention_mask=torch.ones_like(x), pixel_values=pixel_values[None], do_sample=False,
            num_beams=beams, max_new_tokens=new_tokens, eos_token_id=2, bos_token_id=1, pad_token_id=0, length_penalty=1.0,
            early_stopping=False)
    new = out[0, x.shape[1]:].tolist()
    return new[:new.index(2) + 1] if 2 in new else new


@torch.no_grad()
def embed(model, pixel_values, ids):
    """[1, T, D] that the language model reads: text embeddings, and the picture's rows at IMAGE."""
    expanded = expand(ids, model)
    out = model.get_input_embeddings()(torch.tensor([expanded]))
    rows = model.get_image_features(pixel_values=pixel_values[None], return_dict=True).pooler_output[0]
    out[0, torch.tensor(expanded) == model.config.image_token_id] = rows
    return out


class StepByStep:
    """next-token log-probabilities of id lists that share one prompt, without a cache: slow and plain."""

    def __init__(self, model, prompt):
        """`model` takes `inputs_embeds`; `prompt` is [1, T, D]."""
        self.model, self.prompt = model, prompt.detach()

    @torch.no_grad()
    def __call__(self, rows):
        tail = self.model.get_input_embeddings()(torch.tensor(rows, dtype=torch.long).reshape(len(rows), -1))
        x = torch.cat([self.prompt.expand(len(rows), -1, -1), tail], 1)
        return self.model(inputs_embeds=x, use_cache=False).logits[:, -1].float().log_softmax(-1)


def greedy_margins(step, ids):
    """Distance between the best and the second best log-probability at each greedy step."""
    margins = []
    for n in range(len(ids)):
        top = step([ids[:n]])[0].topk(2).values
        margins.append(float(top[0] - top[1]))
    return margins


def penalize(lp, rows, seen, penalty):
    """Log-probabilities of the ids that a row holds already, times `penalty`; `seen` are held by every row (logits_process.py)."""
    if penalty == 1:
        return lp
    lp = lp.clone()
    for index, row in enumerate(rows):
        held = torch.tensor(sorted({i for i in [*seen, *row] if i >= 0}), dtype=torch.long)
        lp[index, held] = torch.where(lp[index, held] < 0, lp[index, held] * penalty, lp[index, held] / penalty)
    return lp


def beam_431(step, prompt_length, beams, new_tokens, eos=2, length_penalty=1.0, repetition_penalty=1.0, seen=()):
    """Beam search of transformers 4.31 (generation/beam_search.py), batch 1, early_stopping false.

    Differs from later versions in the length: prompt ids count (the picture as one), the end token does not. A prompt of
    embeddings is the one id BOS, which counts and is penalised (`seen`)."""
    rows, scores, done, last = [[]] * beams, [0.0] + [-1e9] * (beams - 1), [], prompt_length + new_tokens

    def add(ids, total):
        score = total / (prompt_length + len(ids)) ** length_penalty
        if len(done) < beams or score > min(s for s, _ in done):
            done.append((score, ids))
            if len(done) > beams:
                done.remove(min(done, key=lambda x: x[0]))

    finished = False
    while prompt_length + len(rows[0]) < last:
        lp = penalize(step(rows), rows, seen, repetition_penalty) + torch.tensor(scores)[:, None]
        best, flat = lp.flatten().topk(2 * beams)
        new_rows, new_scores = [], []
        for rank, (total, where) in enumerate(zip(best.tolist(), flat.tolist())):
            row, token = rows[where // lp.shape[1]], where % lp.shape[1]
            if token == eos:
                if rank < beams:
                    add(row, total)
            else:
                new_rows.append(row + [token])
                new_scores.append(total)
            if len(new_rows) == beams:
                break
        length = prompt_length + len(rows[0]) + 1
        rows, scores = new_rows, new_scores
        if len(done) == beams and min(s for s, _ in done) >= float(best[0]) / length ** length_penalty:
            finished = True
            break
    if not finished:
        for row, total in zip(rows, scores):
            add(row, total)
    ranked = sorted(done, key=lambda x: x[0])
    ids = ranked[-1][1]
    return (ids + [eos] if len(ids) < new_tokens else ids), [s for s, _ in reversed(ranked)]
