"""The package as a typed program uses it; mypy --strict and pyright read this file, nothing runs it (`make wheel-types`)."""

from __future__ import annotations

import io
import pathlib
from typing import Optional

import numpy
from PIL import Image as PILImage
from typing_extensions import assert_type

import hadpo


def describe(folder: pathlib.Path, picture: pathlib.Path) -> str:
    with hadpo.Engine(threads=2, on_event=print) as engine, hadpo.Model(engine, folder, weights="int8") as model:
        assert_type(engine, hadpo.Engine)
        answer = model.generate(picture, question="What is there?", max_new_tokens=20)
        assert_type(answer["ids"], list[int])
        for other in (picture.read_bytes(), io.BytesIO(b""), numpy.zeros((4, 4, 3), numpy.uint8), PILImage.open(picture)):
            model.score(other, question="Is there a cat?", completion="No.")
        with open(picture, "rb") as file, hadpo.Image(file) as image:
            assert_type(model.score(image, completion="No."), list[float])
        with model.stream(picture, question="What?") as stream:
            for piece in stream:
                assert_type(piece, str)
        return answer["text"] + stream.answer["finish_reason"]


def train(model: hadpo.Model, pairs: pathlib.Path) -> Optional[float]:
    losses: list[float] = []

    def on_event(record: hadpo.Event) -> None:
        if record["event"] == "step":
            losses.append(record.get("loss", 0.0))
            hadpo.scalars(record)["loss"]

    with hadpo.Trainer(model, data={"format": "pairs", "pairs": pairs}, steps=3, on_event=on_event) as trainer:
        assert_type(trainer, hadpo.Trainer)
        report = trainer.run(on_event=on_event)
        assert_type(report["finished"], bool)
        trainer.save("adapter")
    with model.load_adapter("adapter") as adapter:
        assert_type(adapter, hadpo.Adapter)
        accuracy = model.pope("questions.json", "pictures", answers=pathlib.Path("answers.jsonl"))["accuracy"]
    return accuracy


def failing(model: hadpo.Model) -> tuple[int, Optional[str]]:
    try:
        model.generate(quetsion="What?")
    except hadpo.ConfigError as error:
        return error.status, error.where
    except (FileNotFoundError, hadpo.HadpoError):
        pass
    return 0, None
