"""The public Python API of the kit as text: the names, signatures, annotations and bases that applications depend on.

``make api`` writes it to ``tests/contract/python_api.txt``. It is Python, in one section for each public module, so
that griffe reads the stored text as the old version of the kit.
"""

import re
from collections.abc import Container, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import griffe

ROOT: Final = Path(__file__).parents[2]
SNAPSHOT: Final = ROOT / "tests/contract/python_api.txt"
CONSTRUCTION: Final = frozenset({"__init__", "__call__"})
"""The special methods whose parameters an application passes."""
DECORATORS: Final = frozenset({"classmethod", "staticmethod"})

_SECTION: Final = re.compile(r"^# (restwell[\w.]*)\n", re.MULTILINE)


def current_api() -> str:
    """The API of the sources, which are parsed and not imported."""
    kit = griffe.load("restwell", search_paths=[ROOT / "src"], resolve_aliases=True, allow_inspection=False)
    assert isinstance(kit, griffe.Module)
    modules = {module: _public_names(module) for module in _public_modules(kit)}
    public = {
        path
        for module, names in modules.items()
        for name in names
        for path in (f"{module.path}.{name}", _origin(module[name]))
    }
    sections = []
    for module, names in modules.items():
        lines = [line for name in names for line in _lines(name, module[name], public)]
        sections.append("\n".join([f"# {module.path}", *lines, ""]))
    return "\n".join(sections)


def breaking_changes(old: str, new: str) -> list[str]:
    """What griffe finds when it compares two texts of ``current_api``: names, parameters, defaults and bases.

    It does not compare types. Their changes are in the diff of the texts.
    """
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        found = griffe.find_breaking_changes(_load(old, Path(one)), _load(new, Path(two)))
        return [_explain(each) for each in found]


def _explain(breakage: griffe.Breakage) -> str:
    line = breakage.explain(griffe.ExplanationStyle.ONE_LINE)
    return re.sub(r"\x1b\[\d+m", "", line).partition(": ")[2]


def _load(text: str, folder: Path) -> griffe.Object | griffe.Alias:
    _, *sections = _SECTION.split(text)
    for name, code in zip(sections[::2], sections[1::2], strict=True):
        file = folder / name.replace(".", "/") / "__init__.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    return griffe.load("restwell", search_paths=[folder], allow_inspection=False)


def _public_modules(module: griffe.Module) -> Iterator[griffe.Module]:
    yield module
    for name, below in sorted(module.modules.items()):
        if not name.startswith("_") and not below.is_alias:
            yield from _public_modules(below)


def _public_names(module: griffe.Module) -> list[str]:
    if module.exports is not None:
        return sorted(str(name) for name in module.exports)
    return sorted(
        name
        for name, member in module.members.items()
        if not (name.startswith("_") or member.is_alias or member.is_module)
    )


def _origin(member: griffe.Object | griffe.Alias) -> str:
    """Where the member is defined."""
    return member.target_path if isinstance(member, griffe.Alias) else member.path


def _lines(name: str, member: griffe.Object | griffe.Alias, public: Container[str]) -> Iterator[str]:
    try:
        target = member.final_target if isinstance(member, griffe.Alias) else member
    except griffe.AliasResolutionError:  # it belongs to a library
        module, _, origin = _origin(member).rpartition(".")
        yield f"from {module} import {origin} as {name}"
        return
    if isinstance(target, griffe.Class):
        yield from _lines_of_class(name, target, public)
    elif isinstance(target, griffe.Function):
        yield from _lines_of_function(name, target)
    elif isinstance(target, griffe.Attribute):
        yield from _lines_of_attribute(name, target)


def _lines_of_class(name: str, target: griffe.Class, public: Container[str]) -> Iterator[str]:
    arguments = [str(base) for base in target.bases] + [f"{key}={value}" for key, value in target.keywords.items()]
    yield f"class {name}({', '.join(arguments)}):"
    members = {**_inherited_from_private(target, public), **target.members}
    shown = [key for key in sorted(members) if not key.startswith("_") or _is_called(key, members[key], public)]
    for key in shown:
        yield from (f"    {line}" for line in _lines(key, members[key], public))
    if not shown:
        yield "    ..."


def _is_called(name: str, member: griffe.Object | griffe.Alias, public: Container[str]) -> bool:
    """Whether an application can call this special method: no parameter is of a private class of the kit."""
    if name not in CONSTRUCTION or not isinstance(member, griffe.Function):
        return False
    expressions = [each.annotation for each in member.parameters if isinstance(each.annotation, griffe.Expr)]
    paths = [
        each.canonical_path
        for expression in expressions
        for each in expression.iterate(flat=True)
        if isinstance(each, griffe.ExprName)
    ]
    return not any(path.startswith("restwell.") and path not in public for path in paths)


def _inherited_from_private(target: griffe.Class, public: Container[str]) -> dict[str, griffe.Object | griffe.Alias]:
    """The members of bases without a public name. An application knows them as members of this class."""
    private = [base for base in target.resolved_bases if base.path not in public]
    return {key: member for base in reversed(private) for key, member in base.members.items()}


def _lines_of_function(name: str, target: griffe.Function) -> Iterator[str]:
    for overload in target.overloads or ():
        yield "@overload"
        yield f"def {overload.signature(name=name)}: ..."
    yield from (f"@{each.value}" for each in target.decorators if str(each.value) in DECORATORS)
    yield f"{'async ' if 'async' in target.labels else ''}def {target.signature(name=name)}: ..."


def _lines_of_attribute(name: str, target: griffe.Attribute) -> Iterator[str]:
    if "property" in target.labels:
        yield "@property"
        yield f"def {name}(self) -> {target.annotation}: ..."
        return
    declared = f"{name}: {target.annotation}" if target.annotation is not None else name
    set_in_init = "instance-attribute" in target.labels and "class-attribute" not in target.labels
    if target.annotation is not None and (target.value is None or set_in_init):
        yield declared
    else:
        yield f"{declared} = {'...' if set_in_init else target.value}"


if __name__ == "__main__":
    SNAPSHOT.write_text(current_api())
