"""One exception class for every status of hadpo.h, each also the builtin that a Python program would catch."""

from __future__ import annotations

import errno
import os
from typing import Any, Optional


class HadpoError(Exception):
    """A call that failed.

    status    the number in hadpo.h
    name      its name ("config")
    message   what is wrong
    where     the file, or the place in the configuration ("/optimizer/learning_rate")
    found     what was there
    expected  what would have been right
    record    all of it, as the library said it
    """

    def __init__(self, status: int, record: dict[str, Any]):
        self.status = status
        self.record = record
        self.name: str = record.get("name", "")
        self.message: str = record.get("message", "")
        self.where: Optional[str] = record.get("where")
        self.found: Optional[str] = record.get("found")
        self.expected: Optional[str] = record.get("expected")
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [("where", self.where), ("found", self.found), ("expected", self.expected)]
        return "; ".join([self.message, *(f"{key} {value}" for key, value in parts if value is not None)])

    def __reduce__(self) -> tuple[Any, ...]:
        return make_error, (self.status, self.record)


class InternalError(HadpoError, RuntimeError):
    """1: a fault of the library."""


class OutOfMemoryError(HadpoError, MemoryError):
    """2: the machine's memory, or the engine's memory_limit, does not suffice."""


class ArgumentError(HadpoError, ValueError):
    """10: a value that the call cannot take."""


class StateError(HadpoError, RuntimeError):
    """11: not now: a closed object, a handle from before a fork, an adapter that a trainer holds."""


class BusyError(HadpoError, RuntimeError):
    """12: another call is running on this engine."""


class JSONError(HadpoError, ValueError):
    """20: text that is not JSON."""


class ConfigError(HadpoError, ValueError):
    """21: an option that does not exist or has a wrong value; `where` names it."""


class FileError(HadpoError, OSError):
    """30: a file cannot be read or written."""


class MissingFileError(FileError, FileNotFoundError):
    """30: a file is not there."""


class FormatError(HadpoError, ValueError):
    """31: a file is not what it should be."""


class WeightsError(HadpoError, ValueError):
    """32: weights that do not fit the model."""


class DeviceError(HadpoError, RuntimeError):
    """40: the processor or its kernels."""


class UnsupportedError(HadpoError, NotImplementedError):
    """41: understood, and not offered."""


class NumericsError(HadpoError, ArithmeticError):
    """50: a loss that is not finite."""


class CancelledError(HadpoError, RuntimeError):
    """60: `Engine.interrupt` stopped the call. (Ctrl-C is KeyboardInterrupt.)"""


class CallbackError(HadpoError, RuntimeError):
    """61: the event callback stopped the call. (What a callback raises comes out as itself.)"""


BY_STATUS: dict[int, type[HadpoError]] = {
    1: InternalError, 2: OutOfMemoryError, 10: ArgumentError, 11: StateError, 12: BusyError, 20: JSONError, 21: ConfigError,
    30: FileError, 31: FormatError, 32: WeightsError, 40: DeviceError, 41: UnsupportedError, 50: NumericsError,
    60: CancelledError, 61: CallbackError,
}


def make_error(status: int, record: dict[str, Any]) -> HadpoError:
    kind = BY_STATUS.get(status, HadpoError)
    missing = os.strerror(errno.ENOENT)
    if kind is FileError and missing in f"{record.get('message')} {record.get('found')}":
        kind = MissingFileError
    error = kind(status, record)
    if isinstance(error, MissingFileError):
        error.errno = errno.ENOENT
    return error
