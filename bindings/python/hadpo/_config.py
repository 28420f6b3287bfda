"""Keyword arguments into the JSON that the C functions take."""

from __future__ import annotations

import json
import math
import os
from typing import Any, Optional

from ._errors import ConfigError


def _plain(value: Any) -> Any:
    """What `json` does not know: paths, and the numbers of NumPy and PyTorch."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"an option must be JSON, a path or a number, not {type(value).__name__}")


def config(schema: str, keys: dict[str, Any]) -> tuple[bytes, int]:
    """Text and size as a pair of C arguments. Unknown keys are the library's to name: it knows the nearest right one."""
    try:
        text = json.dumps({"schema": schema, **keys}, default=_plain, allow_nan=False).encode()
    except ValueError:
        where = _not_finite(keys)
        if where is None:
            raise
        raise ConfigError(21, {"name": "config", "message": "the value is not a finite number", "where": where,
                               "expected": "a number that JSON can hold"}) from None
    return text, len(text)


def _not_finite(value: Any, where: str = "") -> Optional[str]:
    """The place of the first number that JSON has no word for."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return None if math.isfinite(value) else where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return next((found for key, item in items if (found := _not_finite(item, f"{where}/{key}")) is not None), None)
