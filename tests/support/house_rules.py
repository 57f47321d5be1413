"""Architecture rules that the kit and the shop share, for the ``test_house.py`` of each."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from restwell.errors import AppError
from servers import ROOT


def imports_of(file: Path) -> Iterator[str]:
    """The dotted names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(file: Path) -> list[str]:
    """The parts of the name of a module below a folder ``src``."""
    return list(file.with_suffix("").parts[file.parts.index("src", len(ROOT.parts)) + 1 :])


def imports_between_packages(sources: Path) -> dict[str, set[str]]:
    """For each package or module at the top of ``sources``, those beside it that it imports."""
    names = {path.stem for path in sources.iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))}
    edges: dict[str, set[str]] = {name: set() for name in names}
    for file in sources.rglob("*.py"):
        own = file.relative_to(sources).with_suffix("").parts[0]
        parts = [imported.split(".") for imported in imports_of(file)]
        edges[own] |= {part[1] for part in parts if part[0] == sources.name and part[1:2]} & names - {own}
    return edges


def circles(edges: dict[str, set[str]]) -> set[frozenset[str]]:
    """The largest sets of names that reach each other."""

    def reachable(name: str) -> set[str]:
        found: set[str] = set()
        ahead = list(edges[name])
        while ahead:
            if (next_name := ahead.pop()) not in found:
                found.add(next_name)
                ahead += edges[next_name]
        return found

    reached = {name: reachable(name) for name in edges}
    return {
        frozenset(other for other in reached[name] if name in reached[other]) for name in edges if name in reached[name]
    }


def declared(project: str) -> set[str]:
    """The names of the dependencies of a project, with those of its extras."""
    table = tomllib.loads((ROOT / project).read_text())["project"]
    lists = [table["dependencies"], *table.get("optional-dependencies", {}).values()]
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for one in lists for requirement in one}  # type: ignore[index]
    return names - {table["name"]}


def assert_imports_are_declared(sources: Path, project: str) -> None:
    """Assert that the project declares each library that its package imports."""
    distributions = packages_distributions()
    for file in sorted(sources.rglob("*.py")):
        modules = {name.partition(".")[0] for name in imports_of(file)} - {sources.name} - sys.stdlib_module_names
        for module in modules:
            named = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
            assert named & declared(project), f"{file} imports {module}, which {project} does not declare"


def assert_dependencies_have_reasons(project: str) -> None:
    stack = (ROOT / "docs/decisions/0001-stack.md").read_text()
    for name in sorted(declared(project) - {"restwell"}):
        assert f"**{name}**" in stack, f"{name} has no reason in docs/decisions/0001-stack.md"


def assert_import_does_no_io(modules: str) -> None:
    """Assert that importing writes no file and opens no socket."""
    code = (
        "import sys, socket\n"
        "sys.addaudithook(lambda event, args: sys.exit(event + str(args)) if event.startswith('socket.')"
        " or (event == 'open' and set(str(args[1])) & set('wa+')) else None)\n"
        f"import {modules}\n"
    )
    subprocess.run([sys.executable, "-B", "-c", code], check=True, cwd=ROOT)


def assert_errors_have_the_required_form(error: type[AppError] = AppError) -> None:
    """Assert the form of code, status and message of every error class that has been imported."""
    for each in error.__subclasses__():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", each.code)
        assert 400 <= each.status <= 599
        assert each.message.endswith((".", "errors.", "Allow."))
        assert_errors_have_the_required_form(each)
