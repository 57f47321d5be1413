"""What an application may import of the kit, and that each public name has one place.

The rule for an application: import from ``restwell``, from one of its packages, or from one of its modules without an
underscore, and only names that are there for it (in ``__all__``, where the module has one).
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from inspect import ismodule
from pathlib import Path

from servers import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "shop").glob("*.md")])
MODULES = {
    ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "src/restwell").rglob("*.py")
}

PRIVATE_IN_TESTS_OF_THE_SHOP = {
    "restwell.cache._invalidation",
    "restwell.cache._redis",
    "restwell.cache._store",
    "restwell.cache._suspension",
    "restwell.database._migration_lint",
    "restwell.database._routing",
    "restwell.jobs._store",
    "restwell.rate_limits._redis",
    "restwell.web._decoding",
    "restwell.web._forms",
    "restwell.web._openapi",
    "restwell.web._request",
    "restwell.web._uploads",
}
"""Private modules that tests of the shop use to break something, or to read the route table. Add none."""


def is_private(dotted: str) -> bool:
    return any(part.startswith("_") for part in dotted.split("."))


def public_names(module: str) -> set[str]:
    """The names that a public module defines for applications."""
    loaded = import_module(module)
    own = [
        name
        for name, value in vars(loaded).items()
        if getattr(value, "__module__", module) == module and not ismodule(value)
    ]
    return {name for name in getattr(loaded, "__all__", own) if not name.startswith("_")}


PUBLIC = {module: public_names(module) for module in sorted(MODULES) if not is_private(module)}


def imports_of_the_kit(code: str) -> Iterator[tuple[str, str]]:
    """Each module of the kit that the code imports from, with the imported name, or with ``""``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "restwell")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "restwell":
            yield from ((node.module or "", alias.name) for alias in node.names)


def is_public(module: str, name: str) -> bool:
    return module in PUBLIC and (not name or name in PUBLIC[module] or f"{module}.{name}" in PUBLIC)


def test_the_shop_imports_only_public_names_of_the_kit() -> None:
    """Fails if a feature imports ``restwell.auth._encryption``, or ``open_mailer``, which ``restwell.mail`` keeps."""
    used = {
        (module, name, file.relative_to(ROOT))
        for file in (ROOT / "shop/src").rglob("*.py")
        for module, name in imports_of_the_kit(file.read_text())
    }
    assert len(used) > 100
    assert [each for each in used if not is_public(*each[:2])] == []


def test_tests_of_the_shop_use_no_other_private_modules_of_the_kit_than_the_known_ones() -> None:
    """Fails if a test of the shop imports ``restwell.jobs._queue``."""
    imported = [
        module
        for file in (ROOT / "shop/tests").rglob("*.py")
        for module, name in imports_of_the_kit(file.read_text())
        if is_private(f"{module}.{name}" if name else module)
    ]
    assert set(imported) - PRIVATE_IN_TESTS_OF_THE_SHOP == set(), "use a public name"
    assert PRIVATE_IN_TESTS_OF_THE_SHOP - set(imported) == set(), "remove what is gone from the list"


def test_examples_in_the_documents_import_only_public_names_of_the_kit() -> None:
    used = {
        (module, name, document.relative_to(ROOT))
        for document in DOCUMENTS
        for code in re.findall(r"^```python\n(.+?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
        if "from restwell" in code
        for module, name in imports_of_the_kit(code)
    }
    assert len(used) > 5
    assert [each for each in used if not is_public(*each[:2])] == []


def test_each_name_of_the_kit_is_public_in_one_place() -> None:
    """Fails if ``restwell`` exports ``Migrations``, which ``restwell.database`` exports."""
    places = defaultdict(set)
    for module, names in PUBLIC.items():
        for name in names:
            value = getattr(import_module(module), name)
            if getattr(value, "__module__", "").startswith("restwell"):
                places[f"{value.__module__}.{name}"].add(module)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_packages_of_the_kit_import_public_names_of_each_other_from_the_public_place() -> None:
    """Fails if ``web`` imports ``Actor`` from ``restwell.auth._actor``."""

    def package_of(file: Path) -> str:
        return file.relative_to(ROOT / "src/restwell").with_suffix("").parts[0]

    found = [
        f"{file.relative_to(ROOT)} imports {name} from {module}"
        for file in (ROOT / "src/restwell").rglob("*.py")
        for module, name in imports_of_the_kit(file.read_text())
        if module.count(".") and module.split(".")[1] != package_of(file)
        for face in [module.partition("._")[0]]
        if face not in {module, "restwell"} and name in PUBLIC.get(face, ())
    ]
    assert found == []
