"""Training."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Mapping, Optional, Union

from . import _c
from ._call import OnEvent
from ._config import config
from ._errors import ArgumentError
from ._handle import Handle
from ._model import Model
from ._results import TrainReport

Path = Union[str, "os.PathLike[str]"]


class Trainer(Handle):
    """An adapter of `model` in training; until it is closed, the model's adapter is the trainer's.

    It starts from the adapter that was loaded, or from the base where there is none.

    keys  of "hadpo.train/1": data, steps, batch, beta, lora, optimizer, schedule, output, save_every, log, ...
    """

    _free = "hadpo_trainer_free"

    def __init__(self, model: Model, *, on_event: Optional[OnEvent] = None, **keys: Any):
        self.model, self.engine = model, model.engine
        on, text = model._handle, config("hadpo.train/1", keys)
        self._open(lambda handle: self.engine._run(
            lambda: _c.call("hadpo_trainer_open", on, *text, ctypes.byref(handle)), on_event))

    def run(self, steps: int = 0, *, on_event: Optional[OnEvent] = None) -> TrainReport:
        """Takes `steps` optimizer steps, or all that are left. After Ctrl-C, or another stop, it can be saved and run on:
        the step that was under way is taken again, and the end has the same bits."""
        if steps < 0:
            raise ArgumentError(10, {"name": "argument", "message": "a training cannot take less than no steps", "where": "steps",
                                     "found": str(steps), "expected": "a number of steps, or 0 for all that are left"})
        handle = self._handle
        result: TrainReport = self.engine._run(lambda: _c.answer("hadpo_trainer_run", handle, steps), on_event)
        return result

    def save(self, directory: Path) -> None:
        """Adapter (PEFT format), projector, optimizer state, position."""
        handle = self._handle
        self.engine._run(lambda: _c.call("hadpo_trainer_save", handle, os.fsencode(directory)))

    def resume(self, directory: Path) -> None:
        """Goes on where `directory` was saved, to the same bits as without the stop."""
        handle = self._handle
        self.engine._run(lambda: _c.call("hadpo_trainer_resume", handle, os.fsencode(directory)))

    def inspect(self, path: Path) -> None:
        """Writes losses, parameters and gradients of the step that would come next to a safetensors file."""
        handle = self._handle
        self.engine._run(lambda: _c.call("hadpo_trainer_inspect", handle, os.fsencode(path)))


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an event by name, for TensorBoard, Weights & Biases and their like: those of a step as they are called
    there, those of the guard as "guard/...", of other events none."""
    event = record.get("event")
    figures, prefix = (record.get("figures", {}), "guard/") if event == "guard" else (record if event == "step" else {}, "")
    return {prefix + key: float(value) for key, value in figures.items()
            if key != "step" and isinstance(value, (int, float)) and not isinstance(value, bool)}
