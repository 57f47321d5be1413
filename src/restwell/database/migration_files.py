"""The files of a migrations folder. They form one line: each follows the one numbered before it, and anything else is refused."""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, NamedTuple

from restwell.errors import ConfigurationError

Phase = Literal["pre", "post"]

_NAME: Final = re.compile(r"([0-9]+)_\w+", re.ASCII)
_MARK: Final = re.compile(r"\((pre|post)-deploy\)")
_NOT_SET: Final = "nothing"


class MigrationFile(NamedTuple):
    """``revision`` is the file's name without its ending, such as ``0002_products``; ``number`` its beginning, ``0002``."""

    path: Path
    number: str
    phase: Phase

    @property
    def revision(self) -> str:
        return self.path.stem


class _Script(NamedTuple):
    path: Path
    number: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.name


def read_migrations(folder: Path) -> list[MigrationFile]:
    """The migrations in the order in which they run. Raises ConfigurationError with a line for each fault."""
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    except FileNotFoundError:
        raise ConfigurationError(
            [f"there is no folder {folder}: make it, with the first migration, 0001_what_it_does.py"]
        ) from None
    except OSError as error:
        raise ConfigurationError([f"{folder} cannot be read: {error.strerror}"]) from None
    paths = [path for path in found if path.suffix == ".py"]
    numbered = {path: match[1] for path in paths if (match := _NAME.fullmatch(path.stem))}
    faults = [
        f"{path.name} is not named as a migration: name it {next_number(numbered.values())}_what_it_does.py, or move it out of {folder}"
        for path in paths
        if path not in numbered
    ]
    if not paths:
        others = f"; {', '.join(path.name for path in found)} is none" if found else ""
        faults.append(f"no migrations in {folder}{others}: the first is named 0001_what_it_does.py")
    scripts = sorted(_parsed(numbered, faults), key=lambda script: int(script.number))
    phases = [_phase_of(script, faults) for script in scripts]
    if not faults:
        faults += _doubles(scripts) or _gaps(scripts)
    if faults:
        raise ConfigurationError(faults)
    return [MigrationFile(script.path, script.number, phase) for script, phase in zip(scripts, phases, strict=True)]


def next_number(numbers: Iterable[str]) -> str:
    """The number after the largest, in as many digits."""
    largest = max(numbers, key=int, default="0000")
    return f"{int(largest) + 1:0{len(largest)}}"


def _parsed(numbered: Mapping[Path, str], faults: list[str]) -> list[_Script]:
    scripts = []
    for path, number in numbered.items():
        try:
            scripts.append(_Script(path, number, ast.parse(path.read_bytes())))
        except SyntaxError as error:
            faults.append(f"{path.name}, line {error.lineno}: {error.msg}")
        except (OSError, ValueError) as error:
            faults.append(f"{path.name} cannot be read: {error}")
    return scripts


def _phase_of(script: _Script, faults: list[str]) -> Phase:
    found = _MARK.search((ast.get_docstring(script.tree, clean=False) or "").partition("\n")[0])
    if found is None:
        faults.append(f"{script.name}: end its docstring's first line with (pre-deploy) or (post-deploy)")
    if not any(isinstance(node, ast.FunctionDef) and node.name == "upgrade" for node in script.tree.body):
        faults.append(f"{script.name} has no function upgrade")
    return "post" if found is not None and found[1] == "post" else "pre"


def _doubles(scripts: Sequence[_Script]) -> list[str]:
    faults = []
    new = next_number(script.number for script in scripts)
    last = scripts[-1].number
    for _, group in groupby(scripts, key=lambda script: int(script.number)):
        names = [script.name for script in group]
        if len(names) > 1:
            renamed = f'{new}_{names[-1].partition("_")[2]}, with revision = "{new}" and down_revision = "{last}"'
            faults.append(f"{' and '.join(names)} have one number: rename the one that has run nowhere yet, {renamed}")
    return faults


def _gaps(scripts: Sequence[_Script]) -> list[str]:
    """Where ``revision`` is not the file's number, or ``down_revision`` not the one before it."""
    faults = []
    followed: dict[object, str] = {}
    for before, script in zip([None, *scripts], scripts, strict=False):
        declared = _declared(script.tree)
        if declared["revision"] != script.number:
            faults.append(
                f'{script.name}: its revision is {_shown(declared["revision"])}: set revision = "{script.number}"'
            )
        down = declared["down_revision"]
        wanted = before.number if before is not None else None
        if down != wanted:
            cure = f"set down_revision = {_shown(wanted)} in {script.name}"
            if other := followed.get(_shown(down)):
                faults.append(f"{other} and {script.name} both follow {_shown(down)}: {cure}")
            elif down == _NOT_SET:
                faults.append(f"{script.name} does not say which migration it follows: {cure}")
            else:
                faults.append(f"{script.name} follows {_shown(down)}, which is not the migration before it: {cure}")
        followed.setdefault(_shown(down), script.name)
    return faults


def _declared(tree: ast.Module) -> dict[str, object]:
    """What ``revision`` and ``down_revision`` are set to, without running the file."""
    declared: dict[str, object] = {"revision": _NOT_SET, "down_revision": _NOT_SET}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and target.id in declared and isinstance(value, ast.expr):
                try:
                    declared[target.id] = ast.literal_eval(value)
                except ValueError:
                    declared[target.id] = ast.unparse(value)
    return declared


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) and value != _NOT_SET else str(value)
