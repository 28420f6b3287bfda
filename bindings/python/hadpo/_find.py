"""Where libhadpo is looked for."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

SONAME = "libhadpo.so.0"
BUNDLED = pathlib.Path(__file__).parent / "lib" / SONAME


class LibraryNotFoundError(ImportError):
    """No libhadpo that this package can use."""


def candidates() -> Iterator[tuple[str, str]]:
    """(path, where it comes from): the wheel's own copy, HADPO_LIBRARY, the system's loader, pkg-config."""
    if BUNDLED.exists():
        yield str(BUNDLED), "the copy in this package"
    named = os.environ.get("HADPO_LIBRARY")
    if named:
        yield named, f"HADPO_LIBRARY={named}"
    yield SONAME, "the system's libraries"
    tool = shutil.which("pkg-config")
    if tool:
        asked = subprocess.run([tool, "--variable=libdir", "hadpo"], capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.strip():
            yield os.path.join(asked.stdout.strip(), SONAME), "pkg-config"


def not_found(tried: list[str]) -> LibraryNotFoundError:
    return LibraryNotFoundError(
        f"{SONAME} was not found. Install the wheel (`make wheel`, then pip install) or the Debian package libhadpo0, or "
        "name the library in HADPO_LIBRARY. Tried:\n  " + "\n  ".join(tried))
