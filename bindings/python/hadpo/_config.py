"""Keyword arguments into the JSON that the C functions take."""

from __future__ import annotations

import json
import os
from typing import Any


def _plain(value: Any) -> Any:
    """What `json` does not know: paths, and the numbers of NumPy and PyTorch."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"an option must be JSON, a path or a number, not {type(value).__name__}")


def config(schema: str, keys: dict[str, Any]) -> tuple[bytes, int]:
    """Text and size as a pair of C arguments. Unknown keys are the library's to name: it knows the nearest right one."""
    text = json.dumps({"schema": schema, **keys}, default=_plain, allow_nan=False).encode()
    return text, len(text)
