"""`python -m hadpo` and the `hadpo` command: the command-line tool, as it is.

The wheel carries the tool beside this file; without a wheel it is HADPO_TOOL or the `hadpo` of the system.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from typing import NoReturn

BUNDLED = pathlib.Path(__file__).parent / "bin" / "hadpo"


def find_tool() -> str:
    # The command that pip makes for this function is called hadpo as well, and must not start itself.
    own = pathlib.Path(sys.argv[0]).resolve().parent
    path = os.pathsep.join(folder for folder in os.get_exec_path() if pathlib.Path(folder).resolve() != own)
    tool = str(BUNDLED) if BUNDLED.exists() else os.environ.get("HADPO_TOOL") or shutil.which("hadpo", path=path)
    if tool is None:
        sys.exit("hadpo: the command-line tool was not found. Install the wheel or the Debian package hadpo, or name it in "
                 "HADPO_TOOL.")
    return tool


def main() -> NoReturn:
    tool = find_tool()
    try:
        os.execv(tool, ["hadpo", *sys.argv[1:]])
    except OSError as problem:
        sys.exit(f"hadpo: {tool}: {problem.strerror}")


if __name__ == "__main__":
    main()
