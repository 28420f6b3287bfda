"""The engine: threads, kernels, memory limit, events."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional, TypeVar

from . import _c, _call
from ._call import OnEvent
from ._config import config
from ._handle import Handle

T = TypeVar("T")


class Engine(Handle):
    """Threads, kernels and memory limit of the models opened on it; one call at a time (another gets BusyError).

    on_event  called with every record (a dict, see `Event`) in the thread that made the call. What it raises stops the
              call and comes out of it.
    keys      of "hadpo.engine/1": threads, kernels, numerics, memory_limit

    Ctrl-C stops a running call: it raises KeyboardInterrupt when the library has returned, and the engine is free.
    """

    _free = "hadpo_engine_free"

    def __init__(self, on_event: Optional[OnEvent] = None, **keys: Any):
        self.on_event = on_event
        text = config("hadpo.engine/1", keys)
        self._open(lambda handle: _c.call(
            "hadpo_engine_open", *text, _call.EVENT_FUNCTION, None, ctypes.byref(handle)))

    def interrupt(self) -> None:
        """From another thread: the running call, or else the next, ends with CancelledError."""
        _c.library().hadpo_engine_interrupt(self._handle)

    def _run(self, function: Callable[[], T], on_event: Optional[OnEvent] = None) -> T:
        return _call.run(function, self.on_event, on_event)

    def world_make(self, output: Any, *, on_event: Optional[OnEvent] = None, **keys: Any) -> dict[str, Any]:
        """Writes the world in the box into the folder `output`: checkpoint (`output`/model), pictures, questions,
        annotations. Keys of "hadpo.world/1". Returns what was written."""
        handle, text = self._handle, config("hadpo.world/1", {"output": output, **keys})
        return self._run(lambda: _c.answer("hadpo_world_make", handle, *text), on_event)

    def world_train(self, *, on_event: Optional[OnEvent] = None, **keys: Any) -> dict[str, Any]:
        """Trains the world's base checkpoint from nothing, which takes hours. Keys of "hadpo.world-base/1"."""
        handle, text = self._handle, config("hadpo.world-base/1", keys)
        return self._run(lambda: _c.answer("hadpo_world_train", handle, *text), on_event)
