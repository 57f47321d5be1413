"""Reads and validates the files of a migrations folder.

They must form one linear history, in the order of their numbers.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, NamedTuple

from restwell.errors import ConfigurationError

Phase = Literal["pre", "post"]

_NAME: Final = re.compile(r"([0-9]+)_\w+", re.ASCII)
_PHASE: Final = re.compile(r"\((pre|post)-deploy\)")
_UNSET: Final = "unset"
_WRITES: Final = ' (restwell migrate --new "what it does" writes it)'
MAY_BE_EMPTY: Final = ContextVar("may_be_empty", default=False)
"""Whether there may be no migrations yet, because the first one is written now."""

APPLICATION: Final = "application"
"""The package of the application's own migrations."""


class MigrationFile(NamedTuple):
    """``revision`` is the file name without its suffix, as ``0002_products``; ``number`` is its prefix, ``0002``.

    ``alembic_revision``: the id that Alembic gave it, if its folder was adopted.
    """

    package: str
    path: Path
    number: str
    phase: Phase
    alembic_revision: str = ""

    @property
    def revision(self) -> str:
        return self.path.stem

    def __str__(self) -> str:
        return named(self.package, self.revision)


def named(package: str, text: str) -> str:
    """A revision, as messages name it: with its package, unless it is the application's."""
    return text if package == APPLICATION else f"{package} {text}"


class _Script(NamedTuple):
    path: Path
    number: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.name


def read_migrations(package: str, folder: Path) -> list[MigrationFile]:
    """The migrations of a package in execution order. Raises ConfigurationError with a line for each error."""
    may_be_empty = MAY_BE_EMPTY.get()
    if may_be_empty and not folder.exists():
        return []
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__")))
    except FileNotFoundError:
        raise ConfigurationError(
            [f"the folder {folder} does not exist: create it, with the first migration, 0001_what_it_does.py{_WRITES}"]
        ) from None
    except OSError as error:
        raise ConfigurationError([f"{folder} cannot be read: {error.strerror}"]) from None
    paths = [path for path in found if path.suffix == ".py"]
    numbered = {path: match[1] for path in paths if (match := _NAME.fullmatch(path.stem))}
    faults = [
        f"{path.name} is not a valid name of a migration:"
        f" rename it to {next_number(numbered.values())}_what_it_does.py, or move it out of {folder}"
        for path in paths
        if path not in numbered
    ]
    if not paths and may_be_empty:
        return []
    if not paths:
        others = f"; ignored: {', '.join(path.name for path in found)}" if found else ""
        faults.append(f"no migrations in {folder}{others}: name the first one 0001_what_it_does.py{_WRITES}")
    scripts = sorted(_parse(numbered, faults), key=lambda script: int(script.number))
    phases = [_phase_of(script, faults) for script in scripts]
    if not faults:
        faults += _duplicate_numbers(scripts) or _broken_links(scripts)
    if faults:
        raise ConfigurationError(faults)
    return [
        MigrationFile(package, script.path, script.number, phase, str(_declared(script.tree)["alembic_revision"]))
        for script, phase in zip(scripts, phases, strict=True)
    ]


def next_number(numbers: Iterable[str]) -> str:
    """The number after the largest, with the same number of digits."""
    largest = max(numbers, key=int, default="0000")
    return f"{int(largest) + 1:0{len(largest)}}"


def _parse(numbered: Mapping[Path, str], faults: list[str]) -> list[_Script]:
    scripts = []
    for path, number in numbered.items():
        try:
            scripts.append(_Script(path, number, _tree(path.read_bytes())))
        except SyntaxError as error:
            faults.append(f"{path.name}, line {error.lineno}: {error.msg}")
        except (OSError, ValueError) as error:
            faults.append(f"{path.name} cannot be read: {error}")
    return scripts


@lru_cache(maxsize=256)
def _tree(source: bytes) -> ast.Module:
    """Kept, since tests build an application again and again."""
    return ast.parse(source)


def _phase_of(script: _Script, faults: list[str]) -> Phase:
    found = _PHASE.search((ast.get_docstring(script.tree, clean=False) or "").partition("\n")[0])
    if found is None:
        faults.append(f"{script.name}: end the first line of its docstring with (pre-deploy) or (post-deploy)")
    if not any(isinstance(node, ast.FunctionDef) and node.name == "upgrade" for node in script.tree.body):
        faults.append(f"{script.name} has no function upgrade")
    return "post" if found is not None and found[1] == "post" else "pre"


def _duplicate_numbers(scripts: Sequence[_Script]) -> list[str]:
    faults = []
    last = max((script.number for script in scripts), key=int)
    for _, group in groupby(scripts, key=lambda script: int(script.number)):
        names = [script.name for script in group]
        if len(names) > 1:
            new = next_number([last])
            renamed = f'{new}_{names[-1].partition("_")[2]}, with revision = "{new}" and down_revision = "{last}"'
            faults.append(
                f"{' and '.join(names)} have the same number:"
                f" rename the one that has not run on any database, to {renamed}"
            )
            last = new
    return faults


def _broken_links(scripts: Sequence[_Script]) -> list[str]:
    """Errors where ``revision`` is not the number of the file, or ``down_revision`` not the number before it."""
    faults = []
    followed: dict[object, str] = {}
    for previous, script in zip([None, *scripts], scripts, strict=False):
        declared = _declared(script.tree)
        if declared["revision"] != script.number:
            faults.append(
                f'{script.name}: its revision is {_quoted(declared["revision"])}: set revision = "{script.number}"'
            )
        down = declared["down_revision"]
        expected = previous.number if previous is not None else None
        if down != expected:
            hint = f"set down_revision = {_quoted(expected)} in {script.name}"
            if other := followed.get(_quoted(down)):
                faults.append(f"{other} and {script.name} both follow {_quoted(down)}: {hint}")
            elif down == _UNSET:
                faults.append(f"{script.name} does not declare which migration it follows: {hint}")
            else:
                faults.append(f"{script.name} follows {_quoted(down)}, which is not the migration before it: {hint}")
        followed.setdefault(_quoted(down), script.name)
    return faults


def _declared(tree: ast.Module) -> dict[str, object]:
    """The values of ``revision`` and others like it, without executing the file."""
    declared: dict[str, object] = {"revision": _UNSET, "down_revision": _UNSET, "alembic_revision": ""}
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


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) and value != _UNSET else str(value)
