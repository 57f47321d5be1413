"""Architecture rules of the kit and of the repository, and documents that match the code."""

import importlib
import json
import pkgutil
import re
from collections import defaultdict
from types import ModuleType

import pytest
from sqlalchemy import Table

import restwell
from house_rules import (
    assert_dependencies_have_reasons,
    assert_errors_have_the_required_form,
    assert_import_does_no_io,
    assert_imports_are_declared,
    imports_of,
    module_of,
)
from servers import ROOT

KIT = sorted((ROOT / "src").rglob("*.py"))
FRAMEWORKS = {"litestar"}
KNOWS_THE_FRAMEWORK = ("litestar",)
LAYERS = [  # a module may import those of its own set and above
    {
        "api",
        "ids",
        "errors",
        "client_ip",
        "email_addresses",
        "extras",
        "circuit_breaker",
        "atomic_file",
        "batcher",
        "child_processes",
        "client",
        "fields",
        "files",
        "folders",
        "heartbeats",
        "database_url",
        "metadata",
        "polling",
        "redis",
        "settings_values",
        "signing",
        "systemd",
        "terminal",
    },
    {"settings", "settings_files", "observability", "mail", "tracing"},
    {"database", "migrations", "auth"},
    {"pages"},
    {"cache", "edge", "jobs", "rate_limits"},
    {"host", "lifespan"},
    {"events", "idempotency", "retention", "services", "web"},
    {"app", "application", "asgi", "edge_hooks", "kit", "litestar", "optional_parts"},
    {"accounts", "dashboards", "graphql", "grpc", "ops", "project", "testing"},
    {"server", "reload", "startup", "supervisor"},
    {"doctor"},
    {"cli"},
    {"__main__", "__init__"},
]
SECTIONS = 17
ACCOUNTS = ROOT / "src/restwell/accounts"
PARTS = {file.parent.name for file in ACCOUNTS.glob("*/feature.py")}
NEED_PASSWORDS = {"_email_verification", "_mfa", "_api_keys", "_directory"}
LAYERS_OF_A_PART = {
    "models": {"schemas", "queries", "service", "routes"},
    "schemas": {"queries", "service", "routes"},
    "queries": {"service", "routes"},
    "service": {"routes"},
    "routes": {"queries"},
}
"""The modules of its own part of the accounts that a module may not import."""


def layer_of(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if _plain(name) in names)


def _plain(name: str) -> str:
    return name if name.startswith("__") else name.removeprefix("_")


def test_imports_point_one_way() -> None:
    known = set().union(*LAYERS)
    for file in KIT:
        _, own, *_ = [*module_of(file), ""]
        for imported in imports_of(file):
            top, *below = imported.split(".")
            assert top != "shop", f"{file}: the kit never imports the application"
            assert top not in FRAMEWORKS or _plain(own) in KNOWS_THE_FRAMEWORK, f"{file}: only litestar.py knows it"
            if top == "restwell" and below and _plain(below[0]) in known:
                assert layer_of(below[0]) <= layer_of(own), f"{file} imports {below[0]}, which is above it"


def test_parts_of_the_accounts_import_the_core_and_no_other_part() -> None:
    """Breaks when ``_mfa`` imports ``_identities``: an application could not choose one of them."""
    assert len(PARTS) > 5
    for part in sorted(PARTS):
        for file in (ACCOUNTS / part).glob("*.py"):
            parts = {name.split(".")[2] for name in imports_of(file) if name.startswith("restwell.accounts._")} & PARTS
            assert parts <= {part} | ({"_passwords"} if part in NEED_PASSWORDS else set()), f"{file} imports {parts}"


def test_routes_call_services_and_services_run_queries() -> None:
    """Breaks when the routes of a part of the accounts run a query."""
    for file in sorted(ACCOUNTS.glob("_*/*.py")):
        package, layer = file.parent.name, file.stem
        for imported in imports_of(file):
            _, _, *below = f"{imported}..".split(".")
            if below[0] == package:
                assert below[1] not in LAYERS_OF_A_PART.get(layer, ()), f"{file} imports {imported}"


@pytest.mark.integration
def test_each_table_of_the_accounts_is_used_by_one_part() -> None:
    """Breaks when ``_sessions`` imports the table ``users``, or its module ``models`` whole."""
    users = defaultdict(set)
    for file in ACCOUNTS.rglob("*.py"):
        _, _, own, *_ = name = module_of(file)
        if own in {"_migrations", "_seed"}:  # _seed fills a development database
            continue
        for imported in vars(importlib.import_module(".".join(name).removesuffix(".__init__"))).values():
            whole = isinstance(imported, ModuleType) and imported.__name__.endswith(".models")
            for value in vars(imported).values() if whole else [imported]:
                if isinstance(value, Table):
                    users[value.name].add(own)
    assert len(users) > 10
    assert {table: parts for table, parts in users.items() if len(parts) > 1} == {}


def test_metrics_are_collectors_and_not_global_objects() -> None:
    """Breaks when a module creates a Counter, Gauge or Histogram: several applications would share its counts."""
    for file in KIT:
        used = {name.rpartition(".")[2] for name in imports_of(file) if name.startswith("prometheus_client.")}
        assert not used & {"Counter", "Gauge", "Histogram", "Summary", "REGISTRY"}, file


def test_no_test_of_the_kit_needs_the_shop() -> None:
    """The kit is tested where the shop is not installed."""
    helpers = {path.stem for path in (ROOT / "shop/tests/support").iterdir()}
    for file in (ROOT / "tests").rglob("*.py"):
        needed = {name.partition(".")[0] for name in imports_of(file)} & {"shop", *helpers}
        assert not needed, f"{file} imports {needed} of the shop"
        assert not re.search(r"\bshop[.]app\b", file.read_text()), f"{file} runs the shop"


@pytest.mark.integration
def test_importing_does_no_io_and_opens_nothing() -> None:
    assert_import_does_no_io("restwell, restwell._cli")


def test_no_python_file_exceeds_400_lines() -> None:
    for file in (path for folder in ("src", "tests", "shop") for path in (ROOT / folder).rglob("*.py")):
        assert len(file.read_text().splitlines()) <= 400, f"{file} is over 400 lines: split it by concept"


def test_the_section_table_names_all_sections_and_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", readme, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, SECTIONS + 1))
    for number, _, where in rows:
        paths = re.findall(r"`([^`]+)`", where)
        assert paths or "not built yet" in where, f"section {number} names no file"
        for path in paths:
            assert (ROOT / path).exists(), f"section {number} names {path}, which does not exist"


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_and_make_targets_in_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (ROOT / target).exists(), f"{document} links to {target}"
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= make_targets()


@pytest.mark.parametrize("pipeline", [".ci/run", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile"])
def test_each_pipeline_runs_make_targets_that_exist(pipeline: str) -> None:
    commands = re.findall(r"\bmake ([a-z][a-z -]+)", (ROOT / pipeline).read_text())
    targets = {target for command in commands for target in command.split()}
    assert targets & {"test", "coverage"}
    assert targets <= make_targets()
    if pipeline != ".ci/run":  # a clean machine may not have npm, and twenty random resources take minutes
        assert {"clients", "test-generated"} <= targets


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_decision_has_its_four_sections() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert decisions
    for decision in decisions:
        headings = re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], decision.name


def test_every_dependency_has_its_reason() -> None:
    assert_dependencies_have_reasons("pyproject.toml")


def test_every_imported_library_is_declared() -> None:
    """Breaks if a library is imported because another one happens to bring it."""
    assert_imports_are_declared(ROOT / "src/restwell", "pyproject.toml")


def test_lock_files_pin_hashes_and_name_no_address() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text
        pinned = re.findall(r"^[a-z0-9._-]+(?:\[[a-z,]+\])?==\S+", text, re.MULTILINE)
        assert len(pinned) > 10
        assert text.count("--hash=sha256:") >= len(pinned)
    for lock in (*ROOT.glob("shop/tests/**/package-lock.json"), *ROOT.glob("tests/**/package-lock.json")):
        assert "://" not in lock.read_text()
        packages = json.loads(lock.read_text())["packages"]
        assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_every_error_code_and_message_has_the_required_form() -> None:
    for module in pkgutil.walk_packages(restwell.__path__, "restwell."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert_errors_have_the_required_form()
