"""PEP 517 backend of the package: a wheel of Python files and of what `make` built in this checkout.

    pip install ./bindings/python                       for this machine: needs the system's libpng and the like
    pip wheel ./bindings/python -C tool=PATH            with another command-line tool; `make wheel` does so

Written out because it is short: setuptools would be a download, and knows a platform wheel only by a compiled extension.
"""

import base64
import hashlib
import pathlib
import re
import sysconfig
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"
LIBRARY = "hadpo/lib/libhadpo.so.0"
TOOL = "hadpo/bin/hadpo"


def version():
    header = (ROOT / "include" / "hadpo.h").read_text()
    return ".".join(re.search(rf"HADPO_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))


def metadata():
    # pyproject.toml has the same; tomllib is not in Python 3.9.
    summary = re.search(r'^description = "(.*)"$', (HERE / "pyproject.toml").read_text(), re.M)[1]
    python = re.search(r'^requires-python = "(.*)"$', (HERE / "pyproject.toml").read_text(), re.M)[1]
    return "\n".join([
        "Metadata-Version: 2.1", "Name: hadpo", f"Version: {version()}", f"Summary: {summary}", "License: Apache-2.0",
        f"Requires-Python: {python}", "Classifier: Operating System :: POSIX :: Linux", "Classifier: Typing :: Typed",
        "Description-Content-Type: text/markdown", "", (HERE / "README.md").read_text()])


def built(path, what):
    if not path.exists():
        raise SystemExit(f"hadpo: {path} is missing: run `make` in {ROOT} first, which builds {what}; or install a wheel")
    return path.read_bytes()


def contents(tool, notices):
    """(name in the wheel, bytes, executable)"""
    for path in sorted((HERE / "hadpo").glob("*.py")) + [HERE / "hadpo" / "py.typed"]:
        yield f"hadpo/{path.name}", path.read_bytes(), False
    yield LIBRARY, built(BUILD / "lib" / f"libhadpo.so.{version()}", "the library"), True
    yield TOOL, built(tool, "the command-line tool"), True
    info = f"hadpo-{version()}.dist-info"
    yield f"{info}/METADATA", metadata().encode(), False
    yield f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: hadpo\nRoot-Is-Purelib: false\nTag: {tag()}\n".encode(), False
    yield f"{info}/entry_points.txt", b"[console_scripts]\nhadpo = hadpo.__main__:main\n", False
    yield f"{info}/licenses/LICENSE", (ROOT / "LICENSE").read_bytes(), False
    for path in sorted(notices.iterdir()) if notices else []:
        yield f"{info}/licenses/{path.name}", path.read_bytes(), False


def tag():
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Settings: `tool`, a command-line tool other than build/bin/hadpo; `notices`, a folder of licences to carry."""
    settings = config_settings or {}
    tool = pathlib.Path(settings.get("tool", BUILD / "bin" / "hadpo"))
    notices = pathlib.Path(settings["notices"]) if "notices" in settings else None
    name = f"hadpo-{version()}-{tag()}.whl"
    record = f"hadpo-{version()}.dist-info/RECORD"
    lines = []
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        def add(path, data, executable=False):
            entry = zipfile.ZipInfo(path)  # of 1980: the same files make the same wheel
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            wheel.writestr(entry, data)

        for path, data, executable in contents(tool, notices):
            add(path, data, executable)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(data)}\n")
        add(record, ("".join(lines) + f"{record},,\n").encode())
    return name


def build_sdist(sdist_directory, config_settings=None):
    raise SystemExit("hadpo: there is no source archive: the library is written in Swift; build wheels from a checkout")
