"""A part of the accounts that is left out has no routes, no tables and no code in memory, and can be added later."""

import json
import subprocess
import sys
from typing import Any, Final, NamedTuple

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from accounts_app import PASSWORD, create_app, seed
from restwell.database import Database, Migrations, open_database, query
from restwell.errors import ConfigurationError
from restwell.settings import DatabaseSettings, Settings
from restwell.testing import ApiClient, running
from servers import ROOT, SUPPORT
from staff_directory import StaffDirectory


class Part(NamedTuple):
    """``routes`` are those that need the part. ``on`` and ``off`` are its options, where they are not its name."""

    routes: set[str]
    tables: set[str]
    needed_by: tuple[str, ...] = ()
    on: dict[str, Any] | None = None
    off: dict[str, Any] | None = None


PARTS: Final = {
    "passwords": Part(
        {
            "POST /v1/invitations/acceptance",
            "POST /v1/password-resets",
            "POST /v1/password-resets/completion",
            "POST /v1/sessions",
            "POST /v1/users/me/password",
        },
        {"password_resets"},
        needed_by=("email_verification", "mfa"),
    ),
    "email_verification": Part(
        {"POST /v1/email-verifications", "POST /v1/email-verifications/completion"}, {"email_verifications"}
    ),
    "identities": Part(
        {
            "DELETE /v1/users/me/identities/{provider}",
            "GET /v1/identities",
            "GET /v1/identities/{provider}/callback",
            "GET /v1/identities/{provider}/sign-in",
            "GET /v1/users/me/identities",
            "POST /v1/users/me/identities/{provider}",
        },
        {"identities"},
    ),
    "mfa": Part(
        {
            "GET /v1/users/me/mfa",
            "POST /v1/users/me/mfa",
            "POST /v1/users/me/mfa/confirmation",
            "POST /v1/users/me/mfa/removal",
        },
        {"mfa_enrolments", "recovery_codes"},
    ),
    "clients": Part(
        {"DELETE /v1/clients/{client_id}", "GET /v1/clients", "POST /v1/clients", "POST /v1/oauth/token"}, {"clients"}
    ),
    "api_keys": Part(
        {"DELETE /v1/users/me/api-keys/{key_id}", "GET /v1/users/me/api-keys", "POST /v1/users/me/api-keys"},
        {"api_keys"},
    ),
    "invitations": Part(
        {
            "DELETE /v1/invitations/{invitation_id}",
            "GET /v1/invitations",
            "POST /v1/invitations",
            "POST /v1/invitations/acceptance",
        },
        {"invitations"},
        on={"registration": "invitation"},
        off={"registration": "closed"},
    ),
}
"""The parts with tables, in an order in which each can be added."""
TABLES: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
MODULES_OF_EACH: Final = """
import json, os, sys
from accounts_app import create_app
from restwell.settings import Settings
for options in json.loads(sys.argv[1]):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    try:
        create_app(Settings(), **options)
        print(json.dumps(sorted(sys.modules)), flush=True)
    finally:
        os._exit(0)
"""


def on(part: str) -> dict[str, Any]:
    return PARTS[part].on or {part: True}


def off(*parts: str) -> dict[str, Any]:
    return {name: value for part in parts for name, value in (PARTS[part].off or {part: False}).items()}


ALL: Final = {name: value for part in PARTS for name, value in on(part).items()}
NO_PART: Final = {**off(*PARTS), "administration": False}


def left_out(part: str) -> tuple[str, ...]:
    """The part, and the parts that need it."""
    return (part, *PARTS[part].needed_by)


def without(part: str) -> dict[str, Any]:
    return ALL | off(*left_out(part))


def modules_of_each(code: str, *arguments: str) -> list[set[str]]:
    """Run code in a new process. Returns the modules of each line that it prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{SUPPORT}:{ROOT / 'src'}"},
    )
    assert not run.stderr
    return [set(json.loads(line)) for line in run.stdout.splitlines()]


def routes_of(**options: Any) -> set[str]:
    return {f"{endpoint.method} {endpoint.path}" for endpoint in create_app(Settings(), **options).routes}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_has_no_route(part: str) -> None:
    """Fails if a route of the part is in another part, or the other way around."""
    routes = set().union(*(PARTS[each].routes for each in left_out(part)))
    assert routes_of(**ALL) - routes == routes_of(**without(part))


@pytest.mark.parametrize("part", sorted(PARTS.keys() - {"passwords"}))
def test_a_part_needs_no_other_part_than_passwords(part: str) -> None:
    """Fails if a part takes a service of another, so that the application does not start without it."""
    alone = NO_PART | on("passwords")
    assert routes_of(**alone | on(part)) - routes_of(**alone) == PARTS[part].routes


@pytest.mark.parametrize(
    ("options", "routes"),
    [
        ({"administration": False}, {"GET /v1/users", "GET /v1/users/{user_id}", "PATCH /v1/users/{user_id}"}),
        ({"registration": "closed"}, {"POST /v1/users"}),
    ],
)
def test_without_administration_or_registration_their_routes_are_missing(
    options: dict[str, Any], routes: set[str]
) -> None:
    everything = ALL | {"registration": "open"}
    assert routes_of(**everything) - routes_of(**everything | options) == routes


def test_sign_in_documents_no_error_of_a_part_that_is_left_out() -> None:
    """Fails if the route names the errors of MFA and of directories for every application."""

    def errors_with(**options: Any) -> set[str]:
        (sign_in,) = (each for each in create_app(Settings(), **options).routes if each.name == "sign_in")
        return {error.code for error in sign_in.raises}

    of_mfa = {"mfa_required", "invalid_mfa_code"}
    of_both = {"mfa": True, "directory": StaffDirectory}
    assert errors_with(mfa=True) - errors_with(mfa=False) == of_mfa
    assert errors_with(**of_both) - errors_with(mfa=False) == of_mfa | {"directory_unavailable"}


@pytest.mark.integration
def test_the_code_of_a_part_that_is_left_out_is_not_imported() -> None:
    """Fails if a module of the core imports one of a part, such as the schema of a registration."""
    cases = [ALL, NO_PART, *map(without, PARTS)]
    everything, nothing, *each = modules_of_each(MODULES_OF_EACH, json.dumps(cases))
    packages = {part: f"restwell.accounts._{part}" for part in PARTS}
    assert everything.issuperset(packages.values())
    assert not {module for module in nothing if module.startswith((*packages.values(), "restwell.accounts._mail"))}
    assert not nothing & {"argon2", "httpx"}
    for part, loaded in zip(PARTS, each, strict=True):
        assert not {module for module in loaded if module.startswith(tuple(packages[one] for one in left_out(part)))}
    assert "httpx" not in each[list(PARTS).index("identities")]


@pytest.mark.integration
def test_an_application_without_accounts_loads_none_of_their_code() -> None:
    """Fails if the kit imports ``restwell.accounts``, or ``restwell.auth`` imports what hashes or signs."""
    code = (
        "import json, sys; from core_app import create_app; from restwell.settings import Settings\n"
        "create_app(Settings()); print(json.dumps(sorted(sys.modules)))"
    )
    (loaded,) = modules_of_each(code)
    assert "core_app" in loaded
    assert not loaded & {"restwell.accounts", "argon2", "cryptography", "httpx", "joserfc"}


async def tables_of(database: Database) -> set[str]:
    return set(await database.all(query("test.tables", text(TABLES[database.dialect]), into=str)))


@pytest.mark.slow
async def test_a_part_is_added_by_its_own_migrations(empty_url: str, settings: Settings) -> None:
    """Fails if a part's tables are created by another part, so that it could not be left out or added later."""
    at = settings.model_copy(update={"database": DatabaseSettings(url=SecretStr(empty_url))})
    options = NO_PART
    async with open_database(empty_url) as database:
        await create_app(at, **options).migrations.upgrade(database)
        await seed(database)
        before = await tables_of(database)
        assert not before & set().union(*(part.tables for part in PARTS.values()))
        for name, part in PARTS.items():
            options = options | on(name)
            migrations: Migrations = create_app(at, **options).migrations
            with pytest.raises(ConfigurationError, match="run restwell migrate"):
                await migrations.check(database)
            pending = migrations.pending(await migrations.applied(database))
            assert {file.package for file in pending} == {f"accounts_{name}"}
            await migrations.upgrade(database)
            await migrations.check(database)
            assert await tables_of(database) - before == part.tables
            before |= part.tables
    async with running(create_app(at, **options)) as client:
        member = await ApiClient(client).sign_in("member@app.example", PASSWORD)
        assert (await member.post("/v1/users/me/mfa", {"current_password": PASSWORD})).status_code == 200
