"""What every object of the library has in common."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Callable, TypeVar

from . import _c
from ._errors import make_error

Self = TypeVar("Self", bound="Handle")
STATE = 11


class Handle:
    """A counted object of the library. `with` or `close` frees it at a known moment, the garbage collector at the latest.

    Objects may be closed in any order: the library counts who still needs what.
    """

    _free: str

    def _open(self, opening: Callable[[ctypes.c_void_p], Any]) -> None:
        """`opening` makes the C object; if it is interrupted when the object exists already, the object is freed."""
        handle = ctypes.c_void_p()
        free = getattr(_c.library(), self._free)
        try:
            opening(handle)
        except BaseException:
            free(handle)
            raise
        self._pointer = handle
        self._finalizer = weakref.finalize(self, free, handle)
        self._finalizer.atexit = False  # the process takes its memory with it

    @property
    def _handle(self) -> ctypes.c_void_p:
        if self.closed:
            raise make_error(STATE, {"name": "state", "message": f"the {type(self).__name__.lower()} is closed"})
        return self._pointer

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Frees the object; a second call does nothing."""
        self._finalizer()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
