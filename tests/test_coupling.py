"""What the kit depends on in a way that an upgrade or a split would feel: circles, and private names of libraries."""

import ast
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

import restwell
from house_rules import circles, imports_between_packages, imports_of
from servers import ROOT

KIT: Final = ROOT / "src/restwell"
PRIVATE_NAMES_OF_LIBRARIES: Final = {
    "database/_postgres_connect.py: connection._transport",  # asyncpg
    "jobs/_processes.py: pool._processes",
    # The version of Granian is limited, and tests/test_server_reload.py fails when these change:
    "restwell._server: _respawn_workers of granian.server.common.AbstractServer",
    "restwell._server: _spawn_worker of granian.server.common.AbstractServer",
    "restwell._server: _spawn_worker of granian.server.mp.MPServer",
    "_server.py: self._spawn_worker",
    "_server.py: granian._signals",
    "_server.py: granian._granian",
    "_server.py: granian._granian.WorkerSignal",
}
"""Known uses. Each is to be replaced: remove it here then, and add none."""

DOCUMENTED: Final = {"_current_frames", "_exit", "_missing_", "_name_", "_replace", "_value_"}
"""Names of the standard library that are public although they begin with an underscore."""


def test_no_packages_of_the_kit_import_each_other_in_a_circle() -> None:
    """Breaks when ``database`` imports ``cache``, which imports ``database``."""
    assert circles(imports_between_packages(KIT)) == set()


def test_the_edge_imports_no_database_no_cache_package_and_no_framework() -> None:
    """Fails if a hook imports ``restwell.database``, and if one imports what the edge has no reason to know."""
    imported = {name for file in (KIT / "edge").rglob("*.py") for name in imports_of(file)}
    of_the_kit = {name.split(".")[1] for name in imported if name.startswith("restwell.")}
    assert of_the_kit == {"client_ip", "edge", "errors", "ids", "observability", "rate_limits"}
    libraries = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"restwell"}
    assert libraries == {"msgspec", "prometheus_client", "structlog"}


def test_the_kit_uses_no_other_private_names_of_libraries_than_the_known_ones() -> None:
    """Fails if ``web`` reads ``request._json`` of Litestar, or imports from ``granian._loops``."""
    used = {*private_accesses(), *private_imports(), *private_names_of_base_classes()}
    assert used - PRIVATE_NAMES_OF_LIBRARIES == set(), "use the public API of the library"
    assert PRIVATE_NAMES_OF_LIBRARIES - used == set(), "remove what is gone from the list"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


@cache
def nodes_of(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text())))


def private_accesses() -> Iterator[str]:
    """Accesses to private attributes that the same package of the kit does not define.

    Of another object than ``self``, it must define a method of that name.
    """
    for file in KIT.rglob("*.py"):
        package = list(file.parent.rglob("*.py") if file.parent != KIT else KIT.glob("*.py"))
        methods = frozenset().union(*map(methods_defined_in, package))
        own = methods.union(*map(attributes_defined_in, package))
        for node in nodes_of(file):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                owner = ast.unparse(node.value)
                if node.attr not in (own if owner in {"self", "cls"} else methods):
                    yield f"{file.relative_to(KIT)}: {owner}.{node.attr}"


@cache
def methods_defined_in(file: Path) -> frozenset[str]:
    return frozenset(node.name for node in nodes_of(file) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def attributes_defined_in(file: Path) -> frozenset[str]:
    """What a module assigns to ``self``, or to a name, as in the body of a class."""
    stored = [node for node in nodes_of(file) if isinstance(getattr(node, "ctx", None), ast.Store)]
    attributes = {node.attr for node in stored if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"}
    return frozenset(attributes | {node.id for node in stored if isinstance(node, ast.Name)})


def private_imports() -> Iterator[str]:
    for file in KIT.rglob("*.py"):
        for name in imports_of(file):
            if not name.startswith("restwell") and any(map(is_private, name.split("."))):
                yield f"{file.relative_to(KIT)}: {name}"


def private_names_of_base_classes() -> Iterator[str]:
    """Private names of a library's class that a subclass in the kit overrides or uses."""
    for each in pkgutil.walk_packages(restwell.__path__, "restwell."):
        if each.name.endswith("__main__"):
            continue
        module = import_module(each.name)
        nodes = nodes_of(Path(module.__file__ or ""))
        used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        used |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        for own in (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == each.name):
            for base in (one for one in own.__mro__ if not one.__module__.startswith("restwell")):
                for name in filter(is_private, used & {*vars(base), *inspect.get_annotations(base)}):
                    yield f"{each.name}: {name} of {base.__module__}.{base.__qualname__}"
