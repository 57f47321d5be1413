"""The tests mirror the kit: ``restwell/auth/_tokens.py`` is tested by ``tests/auth/test_tokens.py``.

A second file of tests for a module adds its topic to the name: ``test_tokens_malformed.py``. The package itself, as
``restwell.database``, is tested by ``tests/database/test_database.py``.
"""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from servers import ROOT

KIT: Final = ROOT / "src/restwell"
TESTS: Final = ROOT / "tests"
SYSTEM: Final = TESTS / "system"
OF_THE_REPOSITORY: Final = {
    "coupling",
    "failure_report",
    "house",
    "language",
    "mirror",
    "parsing_cost",
    "public_names",
    "python_api",
    "reference_pages",
    "releases",
    "scoreboard",
}
"""What files beside those of modules test: the rules of the repository, and the helpers of the tests."""
WITHOUT_TESTS: Final = {
    "accounts/codes": "random tokens, which the tests of emails and recovery codes use",
    "accounts/metadata": "an object that the modules with tables share",
    "accounts/personal_data": "interfaces, which test_export uses",
    "accounts/rates": "constants",
    "accounts/user_directory": "interfaces, which test_directory uses",
    "api/changes": "structs, which test_report writes",
    "api/rules": "sentences, which test_operations reads",
    "auth/login_failures": "a definition, which test_throttle of the accounts counts",
    "cache/store": "an interface",
    "cache/values": "structs and their encoding, which test_cache stores and reads",
    "cli/backup": "a command, which test_cli runs",
    "cli/dev": "a command, which test_cli runs",
    "cli/dev_server": "what the command dev does, which test_cli runs",
    "cli/openapi": "a command, which test_cli runs",
    "cli/routes": "a command, which test_cli runs",
    "cli/seed": "a command, which test_cli runs",
    "cli/serve": "a command, which test_cli runs",
    "cli/templates": "the texts of templates, which test_new and test_generate write",
    "client/model": "structs, which test_reader reads",
    "client/typescript_types": "the types of a client, which test_typescript writes",
    "cli/loading": "what each command begins with, which test_cli runs",
    "cli/setting_meanings": "texts, which test_settings lists",
    "database/schema": "reads tables, which test_migration_writer compares on both databases",
    "database/schema_changes": "differences, for which test_migration_writer changes models",
    "database/sqlite_backup": "copies a database, which test_sqlite does",
    "database/types": "column types, which test_facade writes and reads on both databases",
    "doctor/clock": "checks, for which test_checks plants faults",
    "doctor/database": "checks, for which test_checks plants faults",
    "doctor/http": "checks, for which test_checks plants faults",
    "doctor/machine": "checks, for which test_checks plants faults",
    "doctor/redis": "checks, for which test_checks plants faults",
    "doctor/schema": "checks, for which test_checks plants faults",
    "doctor/services": "checks, for which test_checks plants faults",
    "doctor/settings": "checks, for which test_checks plants faults",
    "doctor/finding": "structs, which test_checks reads",
    "edge/context": "the state of a request and the base class of hooks, which test_pipeline runs",
    "events/queries": "SQL of the outbox and the inbox, which their tests run",
    "events/tables": "columns, which the test of the migrations compares",
    "graphql/errors": "errors, which test_plan raises",
    "host": "an interface",
    "jobs/queries": "SQL of the store and the queue, which their tests run",
    "jobs/rows": "structs",
    "jobs/tables": "columns, which the test of the migrations compares",
    "ops/audited": "one method, which test_actions runs",
    "settings_files": "what Settings.load reads, which test_settings tests",
    "settings_values": "checks of values, which test_settings reads",
    "metadata": "an object that the modules with tables share",
    "web/transports": "an interface, which test_server of GraphQL uses",
}
"""Modules with nothing to test, and why."""


def test_every_module_has_its_tests_and_every_test_file_its_module() -> None:
    tests = (path for path in TESTS.rglob("test_*.py") if not path.is_relative_to(SYSTEM))
    subjects = {path.relative_to(TESTS).with_name(path.stem.removeprefix("test_")).as_posix() for path in tests}
    found = differences(modules(), subjects - OF_THE_REPOSITORY, WITHOUT_TESTS)
    if found:
        pytest.fail("\n".join(["the tests do not mirror the modules:", *found]), pytrace=False)


def test_a_missing_test_a_stray_test_and_a_needless_exception_are_reported() -> None:
    of_modules = {"cache/redis": "cache/_redis.py", "cache/store": "cache/_store.py"}
    assert not differences(of_modules, {"cache/redis", "cache/redis_outages"}, {"cache/store"})
    found = differences(of_modules, {"cache/redisoutages", "redis", "cache/store"}, {"cache/store", "cache/peers"})
    assert found == [
        "cache/_redis.py has no tests: write tests/cache/test_redis.py",
        "tests/cache/test_redisoutages.py is named after no module of the kit",
        "tests/test_redis.py is named after no module of the kit",
        "cache/peers needs no exception in tests/test_mirror.py",
        "cache/store needs no exception in tests/test_mirror.py",
    ]


def modules() -> dict[str, str]:
    """The files of the kit, by what their tests are named after: ``cache/redis``. Empty packages are left out.

    A part of the accounts, such as ``accounts/_mfa/``, is a feature: its files are tested together.
    """
    named = {}
    for path in KIT.rglob("*.py"):
        *folders, name = path.relative_to(KIT).with_suffix("").parts
        if "_migrations" in folders:
            continue
        if folders[:1] == ["accounts"] and len(folders) > 1:
            named["/".join(part.strip("_") for part in folders[:2])] = "/".join(folders[:2])
            continue
        if name == "__init__":
            if not folders or not _defines_something(path):
                continue
            name = folders[-1]
        named["/".join(part.strip("_") for part in (*folders, name))] = path.relative_to(KIT).as_posix()
    return named


def differences(of_modules: Mapping[str, str], tests: Iterable[str], exempt: Iterable[str]) -> list[str]:
    tested = {test: _module_of(test, of_modules) for test in sorted(tests)}
    untested = {module for module in of_modules if module not in tested.values()}
    return [
        *(
            f"{of_modules[module]} has no tests: write tests/{_file(module)}"
            for module in sorted(untested.difference(exempt))
        ),
        *(f"tests/{_file(test)} is named after no module of the kit" for test, module in tested.items() if not module),
        *(f"{one} needs no exception in tests/test_mirror.py" for one in sorted(set(exempt) - untested)),
    ]


def _module_of(test: str, of_modules: Iterable[str]) -> str | None:
    """The module with the longest name that the test's name begins with."""
    return max((one for one in of_modules if f"{test}_".startswith(f"{one}_")), key=len, default=None)


def _file(subject: str) -> str:
    return Path(subject).with_name(f"test_{Path(subject).name}.py").as_posix()


def _defines_something(path: Path) -> bool:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in ast.parse(path.read_text()).body)
