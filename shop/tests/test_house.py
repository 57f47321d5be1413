"""Architecture rules of the shop: the layers of its features, and declarations that match its code."""

import re
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from sqlalchemy import Table

from house_rules import (
    assert_dependencies_have_reasons,
    assert_errors_have_the_required_form,
    assert_import_does_no_io,
    assert_imports_are_declared,
    circles,
    imports_between_packages,
    imports_of,
    module_of,
)
from restwell.database import find_queries
from servers import ROOT
from shop.app import create_app
from shop.schema import metadata
from shop.settings import ShopSettings

SHOP: Final = ROOT / "shop/src/shop"
FRAMEWORKS: Final = {"litestar"}
LAYERS: Final = {
    "models": {"schemas", "queries", "service", "routes"},
    "schemas": {"queries", "service", "routes"},
    "queries": {"service", "routes"},
    "service": {"routes"},
    "routes": {"queries"},
}
"""The modules of its own feature that a module may not import: routes -> service -> queries -> models and schemas."""
FEATURES: Final = {file.parent.name for file in SHOP.glob("*/service.py")}
RULES: Final = {
    "service",
    "events",
    "stock",
    "settlement",
    "reauthentication",
    "hooks",
    "verification",
    "tags",
}
"""The modules of a feature that other features may import."""


@pytest.mark.parametrize("file", sorted(SHOP.rglob("*.py")), ids=lambda file: ".".join(module_of(file)))
def test_imports_point_one_way(file: Path) -> None:
    _, own, *rest = [*module_of(file), ""]
    for imported in imports_of(file):
        top, *below = imported.split(".")
        assert top not in FRAMEWORKS, "an application uses restwell.web"
        if len(below) > 1 and below[0] in FEATURES - {own} and own in FEATURES:
            assert below[1] in RULES | {"models", "schemas"}, "a feature calls another's service"
        if rest and len(below) > 1 and below[0] == own:
            assert below[1] not in LAYERS.get(rest[0], ()), f"{rest[0]} imports {imported}"


def test_features_import_each_other_in_no_circle() -> None:
    """Fails if ``audit`` imports ``users``, which imports ``audit``."""
    edges = imports_between_packages(SHOP)
    assert circles({name: imported & FEATURES for name, imported in edges.items() if name in FEATURES}) == set()


@pytest.mark.integration
def test_each_table_is_used_by_one_feature() -> None:
    """Fails if ``sessions`` imports the table ``users``, or its module ``models`` whole."""
    users = defaultdict(set)
    for file in SHOP.rglob("*.py"):
        _, *name = module_of(file)
        if name[:1] == ["migrations"] or name == ["load_data"]:  # its SQL is for measurements only
            continue
        module = import_module(".".join(["shop", *name]))
        for imported in vars(module).values():
            if isinstance(imported, ModuleType) and re.fullmatch(r"shop\.\w+\.models", imported.__name__):
                tables = [value for value in vars(imported).values() if isinstance(value, Table)]
            else:
                tables = [imported] if isinstance(imported, Table) else []
            for table in tables:
                users[table.name].add(".".join(name[:1]))
    assert users.keys() >= metadata.tables.keys()
    assert {table: features for table, features in users.items() if len(features) > 1} == {}


def test_importing_does_no_io_and_opens_nothing() -> None:
    assert_import_does_no_io("shop.app")


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    example = (ROOT / ".env.example").read_text()
    documented = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    settings = {"_".join(path).upper() for path in ShopSettings.paths()}
    assert documented == settings | {"SECRETS_DIR", "RESTWELL_APP"}


def test_every_dependency_has_its_reason() -> None:
    assert_dependencies_have_reasons("shop/pyproject.toml")


def test_every_imported_library_is_declared() -> None:
    """Breaks if a library is imported because another one happens to bring it."""
    assert_imports_are_declared(SHOP, "shop/pyproject.toml")


def test_every_query_of_the_shop_is_explained() -> None:
    modules = [import_module(f"shop.{file.parent.name}.queries") for file in sorted(SHOP.glob("*/queries.py"))]
    explained = set(create_app(ShopSettings()).queries())
    assert set(find_queries(*modules)) <= explained, "add the module to the queries of its Feature"


def test_every_error_code_and_message_has_the_required_form() -> None:
    import_module("shop.app")
    assert_errors_have_the_required_form()
