"""Models: answers, log-probabilities, evaluation, adapters."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _c
from ._call import OnEvent
from ._config import config
from ._engine import Engine
from ._handle import Handle
from ._image import Borrowed, ImageLike
from ._results import Answer, DataCheck, ModelDescription, PopeReport, Report
from ._stream import TextStream

if TYPE_CHECKING:
    from ._trainer import Trainer

Path = Union[str, "os.PathLike[str]"]


class Model(Handle):
    """Weights, tokenizer and image pipeline of a checkpoint folder, with at most one adapter.

    keys  of "hadpo.model/1": path, adapter, weights, processor, ...
    """

    _free = "hadpo_model_free"

    def __init__(self, engine: Engine, path: Path, *, on_event: Optional[OnEvent] = None, **keys: Any):
        self.engine = engine
        on, text = engine._handle, config("hadpo.model/1", {"path": path, **keys})
        self._open(lambda handle: engine._run(
            lambda: _c.call("hadpo_model_open", on, *text, ctypes.byref(handle)), on_event))

    def describe(self) -> ModelDescription:
        """What was understood from the folder. (Descriptions of pictures: `generate`.)"""
        handle = self._handle
        result: ModelDescription = self.engine._run(lambda: _c.answer("hadpo_model_describe", handle))
        return result

    # ---- answers

    def generate(self, image: Optional[ImageLike] = None, *, on_event: Optional[OnEvent] = None, **keys: Any) -> Answer:
        """The model's answer. Keys of "hadpo.generate/1": question, max_new_tokens, num_beams, do_sample, ..."""
        handle, text = self._handle, config("hadpo.generate/1", keys)
        with Borrowed(image) as picture:
            result: Answer = self.engine._run(lambda: _c.answer("hadpo_model_generate", handle, *text, picture), on_event)
            return result

    def stream(self, image: Optional[ImageLike] = None, **keys: Any) -> TextStream:
        """The answer while it is made, piece by piece; `.answer` afterwards. Keys as for `generate`."""
        return TextStream(self, image, config("hadpo.generate/1", {**keys, "stream": True}))

    def score(self, image: Optional[ImageLike] = None, **keys: Any) -> list[float]:
        """Log-probability (nats) of each token of the completion, the end token included. Keys of "hadpo.score/1":
        question, completion, template, ..."""
        handle, text, count = self._handle, config("hadpo.score/1", keys), ctypes.c_size_t()
        with Borrowed(image) as picture:
            def ask() -> list[float]:
                _c.call("hadpo_model_score", handle, *text, picture, None, 0, ctypes.byref(count))
                values = (ctypes.c_float * count.value)()
                _c.call("hadpo_model_score", handle, *text, picture, values, count, ctypes.byref(count))
                return list(values)

            return self.engine._run(ask)

    def inspect(self, path: Path, image: Optional[ImageLike] = None, **keys: Any) -> None:
        """Writes pixels, every block's output, logits and log-probabilities to a safetensors file. Keys of
        "hadpo.inspect/1"."""
        handle, text = self._handle, config("hadpo.inspect/1", keys)
        with Borrowed(image) as picture:
            self.engine._run(lambda: _c.call("hadpo_model_inspect", handle, *text, picture, os.fsencode(path)))

    # ---- evaluation

    def pope(self, questions: Path, images: Path, *, on_event: Optional[OnEvent] = None, **keys: Any) -> PopeReport:
        """Asks the questions of a POPE file about the pictures in a folder, and scores the answers. With `answers`, a file,
        a run that was stopped goes on where it was. Keys of "hadpo.pope/1"."""
        handle, text = self._handle, config("hadpo.pope/1", {"questions": questions, "images": images, **keys})
        result: PopeReport = self.engine._run(lambda: _c.answer("hadpo_pope_run", handle, *text), on_event)
        return result

    def shr_describe(self, output: Path, *, on_event: Optional[OnEvent] = None, **keys: Any) -> Report:
        """Describes SHR's pictures into the file `output`; a run that was stopped goes on where it was. Keys of
        "hadpo.shr-describe/1"."""
        handle, text = self._handle, config("hadpo.shr-describe/1", {"output": output, **keys})
        return self.engine._run(lambda: _c.answer("hadpo_shr_describe", handle, *text), on_event)

    def world_pairs(self, world: Path, output: Path, *, on_event: Optional[OnEvent] = None, **keys: Any) -> Report:
        """What the model gets wrong about the world's training pictures, as preference pairs in the folder `output`. Keys
        of "hadpo.world-pairs/1"."""
        handle, text = self._handle, config("hadpo.world-pairs/1", {"world": world, "output": output, **keys})
        return self.engine._run(lambda: _c.answer("hadpo_world_pairs", handle, *text), on_event)

    # ---- training and adapters

    def check(self, *, on_event: Optional[OnEvent] = None, **keys: Any) -> DataCheck:
        """What a training with these keys of "hadpo.train/1" would find, without training."""
        handle, text = self._handle, config("hadpo.train/1", keys)
        result: DataCheck = self.engine._run(lambda: _c.answer("hadpo_data_check", handle, *text), on_event)
        return result

    def trainer(self, **keys: Any) -> "Trainer":
        """A `Trainer` on this model."""
        from ._trainer import Trainer

        return Trainer(self, **keys)

    def load_adapter(self, directory: Path) -> "Adapter":
        """Puts a PEFT adapter folder on, in place of any other. In a `with` statement it comes off at the end."""
        handle = self._handle
        self.engine._run(lambda: _c.call("hadpo_adapter_load", handle, os.fsencode(directory)))
        return Adapter(self, os.fspath(directory))

    def unload_adapter(self) -> None:
        handle = self._handle
        self.engine._run(lambda: _c.call("hadpo_adapter_unload", handle))

    def export(self, output: Path, *, on_event: Optional[OnEvent] = None, **keys: Any) -> None:
        """Merges the adapter and writes a Hugging Face folder. Keys of "hadpo.export/1"."""
        handle, text = self._handle, config("hadpo.export/1", {"output": output, **keys})
        self.engine._run(lambda: _c.call("hadpo_export", handle, *text), on_event)


class Adapter:
    """An adapter that is on a model: `with model.load_adapter("adapter"): ...` takes it off at the end."""

    def __init__(self, model: Model, path: str):
        self.model = model
        self.path = path

    def unload(self) -> None:
        self.model.unload_adapter()

    def __enter__(self) -> "Adapter":
        return self

    def __exit__(self, *_: object) -> None:
        if not self.model.closed:
            self.unload()
