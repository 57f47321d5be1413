"""Files of templates: ``{name}`` is a value, and a line ``%condition text`` is there if the condition is chosen."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

_CONDITION: Final = re.compile(r"%(\w+) (.*)", re.DOTALL)


def fill(folder: Path, values: Mapping[str, str], chosen: Collection[str]) -> dict[Path, str]:
    """The texts of a folder of templates, by their paths. A folder ``package`` has the name of the package."""
    return {
        _target(file.relative_to(folder), values): _filled(file.read_text(encoding="utf-8"), values, chosen)
        for file in sorted(folder.rglob("*.txt"))
    }


def _target(path: Path, values: Mapping[str, str]) -> Path:
    *folders, name = (values.get(part, part.removeprefix("dot")) for part in path.parts)
    return Path(*folders, _replaced(name.removesuffix(".txt"), values))


def _filled(text: str, values: Mapping[str, str], chosen: Collection[str]) -> str:
    return "".join(_lines(_replaced(text, values), chosen))


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _lines(text: str, chosen: Collection[str]) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        condition = _CONDITION.fullmatch(line)
        if condition is None:
            yield line
        elif condition[1] in chosen:
            yield condition[2]
