"""Writes pope_builder.json: POPE questions by a plain Python rendering of the published procedure, for PopeBuilderTests.

Python's own `random`, dicts and stable sort decide draws and ties. Standard library only.
"""
import json
import os
import random

NAMES = ["dog", "cat", "apple", "umbrella", "car", "oven", "tie", "bench", "orange", "kite", "igloo", "bus"]
PER_SCENE, IMAGES, SEED = 3, 8, 7

maker = random.Random(1)
scenes = [{"image": f"{i}.png", "objects": maker.sample(NAMES, maker.choice([2, 3, 4, 5]))} for i in range(16)]

rng = random.Random(SEED)
rich = [s for s in scenes if len(s["objects"]) >= PER_SCENE]
drawn = rng.sample(rich, IMAGES)
state = rng.getstate()

frequency, beside = {}, {}
for scene in drawn:
    for name in scene["objects"]:
        frequency[name] = frequency.get(name, 0) + 1
        for other in scene["objects"]:
            if other != name:
                counts = beside.setdefault(name, {})
                counts[other] = counts.get(other, 0) + 1
popular = sorted(frequency, key=frequency.get, reverse=True)
companions = {name: sorted(beside[name], key=beside[name].get, reverse=True) for name in frequency}


def text(name):
    return f"Is there {'an' if name[0] in 'aeiou' else 'a'} {name} in the image?"


def build(strategy):
    rng.setstate(state)
    questions = []

    def ask(scene, name, label):
        questions.append({"question_id": len(questions) + 1, "image": scene["image"], "text": text(name), "label": label})

    for scene in drawn:
        history = []
        for name in scene["objects"][:PER_SCENE]:
            history.append(name)
            ask(scene, name, "yes")
            order = {"random": [], "popular": popular, "adversarial": companions[name]}[strategy]
            free = lambda x: x not in scene["objects"] and x not in history
            absent = next((x for x in order if free(x)), None)
            while absent is None:
                candidate = rng.choice(list(frequency))
                absent = candidate if free(candidate) else None
            history.append(absent)
            ask(scene, absent, "no")
    return questions


fixture = {"scenes": scenes, "per_scene": PER_SCENE, "images": IMAGES, "seed": SEED, "frequency": frequency, "companions": companions}
fixture |= {s: build(s) for s in ["random", "popular", "adversarial"]}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pope_builder.json"), "w") as out:
    json.dump(fixture, out)
    out.write("\n")
