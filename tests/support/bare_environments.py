"""Virtual environments that hold the built wheels and what they depend on, and nothing else.

The wheels of the libraries are made from the files that are installed here, so that no package index is asked.
"""

import fcntl
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import reaper
from servers import ROOT

UV: Final = (str(Path(sys.executable).with_name("uv")), "--no-config", "--offline", "--quiet")
OF_EXTRAS: Final = ("litestar", "pytest-asyncio", "schemathesis", "time-machine")
"""Libraries that the shop does not need."""


def built() -> Path:
    """A folder with the wheels of the kit, the shop and all that they depend on, and the sdist of the kit.

    The wheel of the kit is built from its sdist.
    """
    wheels = _folder() / "wheels"
    with _once(wheels) as needed:
        if needed:
            for project in (ROOT, ROOT / "shop"):
                options = ("--no-build-isolation", "--python", sys.executable, "--out-dir", str(wheels))
                subprocess.run([*UV, "build", *options, str(project)], check=True)
            locked = (ROOT / "requirements/run.txt").read_text()
            locked_names = re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", locked, re.MULTILINE)
            names = set(locked_names).union(*map(_needed_by, OF_EXTRAS))
            for name in sorted(names):
                _pack(name, wheels)
    return wheels


def bare_environment(requirement: str) -> Path:
    """The ``bin`` folder of an environment with only ``requirement``, as ``restwell[redis]``, for the whole run."""
    folder, wheels = _folder(), built()
    environment = folder / re.sub(r"\W+", "-", requirement)
    with _once(environment) as needed:
        if needed:
            options = ("--cache-dir", str(folder / "cache"))
            subprocess.run([*UV, "venv", *options, "--python", sys.executable, "--clear", str(environment)], check=True)
            source = ("--no-index", "--find-links", str(wheels), "--python", str(environment / "bin/python"))
            subprocess.run([*UV, "pip", "install", *options, *source, requirement], check=True)
    return environment / "bin"


def _folder() -> Path:
    return Path(os.environ[reaper.FOLDER]) / "bare"


@contextmanager
def _once(made: Path) -> Iterator[bool]:
    """Whether ``made`` is still to be made: one process of the run makes it, and the others wait for it."""
    made.mkdir(parents=True, exist_ok=True)
    done = made.with_name(f"{made.name}.done")
    with made.with_name(f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


def _needed_by(name: str) -> set[str]:
    """The library, which the shop does not need, and all that it needs."""
    needed, pending = set[str](), {name}
    while pending:
        library = pending.pop()
        needed.add(library)
        requirements = map(Requirement, distribution(library).requires or ())
        used = (each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""}))
        pending |= {canonicalize_name(each.name) for each in used} - needed
    return needed


def _pack(name: str, folder: Path) -> None:
    """Make the wheel of an installed library from its files (PyPA, binary distribution format)."""
    try:
        library = Distribution.from_name(name)
    except PackageNotFoundError:
        return  # for another platform
    tags = [
        line.removeprefix("Tag: ").split("-")
        for line in (library.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag: ")
    ]
    tag = "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    with zipfile.ZipFile(folder / f"{library.name.replace('-', '_')}-{library.version}-{tag}.whl", "w") as wheel:
        for file in library.files or ():
            path = Path(str(file.locate()))
            if ".." in file.parts or path.suffix == ".pyc":
                continue  # a command, which is made from entry_points.txt
            wheel.write(path, str(file))
            compiled = Path(cache_from_source(str(path))) if path.suffix == ".py" else path
            if compiled != path and compiled.exists():
                place = file.with_name("__pycache__") / compiled.name
                wheel.writestr(str(place), _without_check(compiled.read_bytes()))


def _without_check(bytecode: bytes) -> bytes:
    """The same, valid whatever the time of its source (PEP 552): a second of compilation less per environment."""
    return bytecode[:4] + (1).to_bytes(4, "little") + bytes(8) + bytecode[16:]
