"""Where a peer lives: a virtual environment of its own under build/, filled from PyPI the first time it is asked for.

HADPO_PEER_PYTHON names a Python that has the packages already; nothing is installed then.
"""
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build"
# What `make parity` uses too: PyTorch is too large to be there twice.
TORCH = (BUILD / "venv", ["-r", str(ROOT / "Tests/Parity/requirements.txt")])
GGUF = (BUILD / "peers" / "gguf", ["gguf", "numpy", "cmake"])


def python_of(environment):
    """The environment's Python, installed if it is not there."""
    given = os.environ.get("HADPO_PEER_PYTHON")
    if given and environment is TORCH:
        return given
    folder, packages = environment
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists():
        print(f"installing {' '.join(packages)} into {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        stamp.touch()
    return str(python)


def enter(environment):
    """Goes on in the environment's Python: call it before importing what the environment holds."""
    python = python_of(environment)
    if os.environ.get("HADPO_PEER_ENTERED") != python:
        os.environ["HADPO_PEER_ENTERED"] = python
        os.execv(python, [python, *sys.argv])


def peak_bytes():
    """VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
