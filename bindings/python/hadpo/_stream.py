"""Text as the model writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from . import _c
from ._call import Call
from ._image import Borrowed
from ._results import Answer

if TYPE_CHECKING:
    from ._model import Model


class TextStream:
    """Yields pieces of an answer. The model writes on while a piece is worked on, and the engine is busy until the end;
    `close`, the end of a `with` statement, Ctrl-C or dropping the stream stop it."""

    def __init__(self, model: "Model", image: Any, text: tuple[bytes, int]):
        handle, self._engine = model._handle, model.engine
        self._picture = Borrowed(image)
        picture = self._picture.__enter__()
        self._answer: Optional[Answer] = None
        self._call: Call[Answer] = Call(lambda: _c.answer("hadpo_model_generate", handle, *text, picture), waits=False)
        self._model = model  # its memory is in use
        self._call.start()
        self._open = True

    def __iter__(self) -> "TextStream":
        return self

    def __next__(self) -> str:
        try:
            while self._open:
                record = self._call.next_record()
                if record is None:
                    self._finish()
                    self._answer = self._call.result
                    break
                if self._engine.on_event is not None:
                    self._engine.on_event(record)
                if record["event"] == "token":
                    return str(record["text"])
        except BaseException:
            self.close()
            raise
        raise StopIteration

    @property
    def answer(self) -> Answer:
        """The whole answer; what was not yet taken from the stream is passed over."""
        for _ in self:
            pass
        if self._answer is None:
            raise ValueError("the stream was closed before its end")
        return self._answer

    def _finish(self) -> None:
        self._open = False
        self._picture.__exit__()

    def close(self) -> None:
        if self._open:
            self._call.stop()
            self._finish()

    def __enter__(self) -> "TextStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.close()
