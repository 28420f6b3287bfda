#!/usr/bin/env python3
"""Writes Tests/Fixtures/folder_settings.json: what transformers answers when single keys of a fixture folder say something else.

Needs the packages of Tests/Parity/requirements.txt, Tests/Fixtures/llava and Tests/Fixtures/instructblip.

A case is a copy of a fixture (`fixture`) with files changed (`set`: file, path of keys, new members; null takes a key away), taken away
(`without`) or a weight left out (`drop`). `ids` are the 16 tokens that `generate` gives greedily behind the fixture's own prompt and
picture, or fewer where one of them ends the answer; `logits` are the first 24 of the first token's.
"""
import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = Path(__file__).resolve().parent
TOKENS = 16
CONFIG, GENERATION = "config.json", "generation_config.json"
HEAD = "language_model.lm_head.weight"


def change(file, keys, **members):
    return {"file": file, "at": keys, "members": members}


def config(**members):
    return change(CONFIG, [], **members)


def text(**members):
    return change(CONFIG, ["text_config"], **members)


def vision(**members):
    return change(CONFIG, ["vision_config"], **members)


def generation(**members):
    return change(GENERATION, [], **members)


def cases(plain, prompt):
    """`plain`: what the unchanged folder answers; the ends and bad words below are taken from it, so that they matter."""
    end = plain[3]
    other = plain[6]
    linear = {"rope_type": "linear", "factor": 2.0}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    no = {"without": [GENERATION]}
    yield "as it is", [], {}
    yield "end of config.json, no generation_config.json", [config(eos_token_id=end)], no
    yield "end of text_config, no generation_config.json", [text(eos_token_id=end)], no
    yield "ends of both, no generation_config.json", [config(eos_token_id=end), text(eos_token_id=other)], no
    yield "end of config.json beside generation_config.json", [config(eos_token_id=end)], {}
    yield "several ends", [generation(eos_token_id=[other, end])], {}
    yield "repetition_penalty", [generation(repetition_penalty=1.5)], {}
    yield "repetition_penalty of config.json, no generation_config.json", [config(repetition_penalty=1.5)], no
    yield "repetition_penalty of text_config, no generation_config.json", [text(repetition_penalty=1.5)], no
    yield "repetition_penalty of config.json beside generation_config.json", [config(repetition_penalty=1.5)], {}
    yield "suppress_tokens", [generation(suppress_tokens=[plain[0], 99999, -1])], {}
    yield "suppress_tokens of config.json, no generation_config.json", [config(suppress_tokens=[plain[0]], eos_token_id=2)], no
    yield "begin_suppress_tokens", [generation(begin_suppress_tokens=[plain[0]])], {}
    yield "a bad word of one token", [generation(bad_words_ids=[[plain[2]]])], {}
    yield "a bad word of two tokens", [generation(bad_words_ids=[plain[0:2]])], {}
    yield "a bad word that the prompt begins", [generation(bad_words_ids=[[prompt[-1], plain[0]]])], {}
    yield "the end as a bad word", [generation(eos_token_id=end, bad_words_ids=[[end]])], {}
    yield "the end suppressed", [generation(eos_token_id=end, suppress_tokens=[end])], {}
    yield "min_new_tokens", [generation(eos_token_id=end, min_new_tokens=9)], {}
    yield "rope_parameters null beside rope_scaling", [text(rope_parameters=None, rope_scaling=linear)], {}
    yield "rope_parameters and rope_scaling", [text(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5},
                                                    rope_scaling=linear)], {}
    yield "empty rope_scaling beside rope_parameters", [text(rope_parameters=linear, rope_scaling={})], {}
    yield "rope_theta in both places", [text(rope_parameters={"rope_type": "default", "rope_theta": 100.0}, rope_theta=1e6)], {}
    yield "rope_theta beside rope_scaling", [text(rope_scaling=linear, rope_theta=100.0)], {}
    yield "llama3 without original positions", [text(rope_scaling=llama3, rope_theta=100.0)], {}
    yield "llama3 of 64 positions", [text(rope_scaling=llama3 | {"original_max_position_embeddings": 64}, rope_theta=100.0)], {}
    yield "the old name of a rope's type", [text(rope_scaling={"type": "linear", "factor": 2.0})], {}
    for top in (False, True):
        for nested in (False, True):
            for drop in ([], [HEAD]):
                if top or nested or not drop:
                    yield (f"tied: {top} above, {nested} within, {'no ' if drop else ''}output matrix",
                           [config(tie_word_embeddings=top), text(tie_word_embeddings=nested)], {"drop": drop})
    yield "last layer of the tower", [config(vision_feature_layer=-1)], {}
    yield "a layer counted from the front", [config(vision_feature_layer=1)], {}
    yield "class row kept", [config(vision_feature_select_strategy="full")], {}
    yield "gelu in the tower", [vision(hidden_act="gelu")], {}
    yield "relu in the projector", [config(projector_hidden_act="relu")], {}
    yield "another epsilon in the tower", [vision(layer_norm_eps=1e-2)], {}


def blip_cases():
    yield "as it is", [], {}
    for top in (False, True):
        for nested in (False, True):
            for drop in ([], [HEAD]):
                if nested or not drop:  # transformers draws a matrix that nothing is tied to
                    yield (f"tied: {top} above, {nested} within, {'no ' if drop else ''}output matrix",
                           [config(tie_word_embeddings=top), text(tie_word_embeddings=nested)], {"drop": drop})
    yield "relu in the tower", [vision(hidden_act="relu")], {}
    yield "gelu_new in the Q-Former", [change(CONFIG, ["qformer_config"], hidden_act="gelu_new")], {}
    yield "another epsilon in the Q-Former", [change(CONFIG, ["qformer_config"], layer_norm_eps=1e-2)], {}


def folder(fixture, changes, how, into):
    shutil.copytree(HERE / fixture, into, copy_function=shutil.copyfile)
    for entry in changes:
        path = into / entry["file"]
        whole = json.loads(path.read_text())
        inner = whole
        for key in entry["at"]:
            inner = inner[key]
        inner.update(entry["members"])
        path.write_text(json.dumps(whole))
    for name in how.get("without", []):
        (into / name).unlink()
    if how.get("drop"):
        weights = load_file(into / "model.safetensors")
        save_file({k: v for k, v in weights.items() if k not in how["drop"]}, into / "model.safetensors", metadata={"format": "pt"})


def answer(fixture, changes, how):
    expected = load_file(next(p for p in (HERE / fixture / "expected.safetensors", HERE / f"{fixture}.safetensors") if p.exists()))
    prompt, pixels = expected["prompt_ids"].tolist(), expected["pixel_values"][None]
    with tempfile.TemporaryDirectory() as place:
        folder(fixture, changes, how, Path(place) / "model")
        if fixture.startswith("llava"):
            model = transformers.LlavaForConditionalGeneration.from_pretrained(Path(place) / "model", dtype=torch.float32).eval()
            v = model.config.vision_config
            rows = (v.image_size // v.patch_size) ** 2 + (model.config.vision_feature_select_strategy == "full")
            ids = [i for p in prompt for i in ([model.config.image_token_index] * rows if p in (-200, 340) else [p])]
            return generate(model, torch.tensor([ids]), pixel_values=pixels)
        model = transformers.InstructBlipForConditionalGeneration.from_pretrained(
            Path(place) / "model", dtype=torch.float32, image_token_index=3).eval()
        ids = torch.tensor([[3] * model.config.num_query_tokens + prompt[1:]])
        return generate(model, ids, pixel_values=pixels, qformer_input_ids=expected["instruction_ids"][None])


def generate(model, ids, **inputs):
    found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS,
                           output_logits=True, return_dict_in_generate=True, **inputs)
    count = len(found.logits)
    return {"ids": found.sequences[0].tolist()[-count:], "logits": [round(x, 5) for x in found.logits[0][0, :24].tolist()]}


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    result = []
    for fixture in ("llava/old-f32", "instructblip/hf"):
        plain = answer(fixture, [], {})["ids"]
        prompt = load_file(HERE / "llava/old-f32/expected.safetensors")["prompt_ids"].tolist()
        for name, changes, how in (cases(plain, prompt) if fixture.startswith("llava") else blip_cases()):
            found = answer(fixture, changes, how)
            result.append({"fixture": fixture, "name": name, "set": changes, **{k: v for k, v in how.items() if v}, **found})
            print(f"{fixture} {name}: {len(found['ids'])} ids{'' if found['ids'] != plain else ', as without it'}")
    lines = ",\n".join(" " + json.dumps(case) for case in result)
    (HERE / "folder_settings.json").write_text(
        '{"transformers": "%s", "cases": [\n%s\n]}\n' % (transformers.__version__, lines))


if __name__ == "__main__":
    main()
