"""What features contribute to an application: tables, authentication and client credentials."""

from pathlib import Path
from typing import Any

import pytest

from api_client import assert_problem
from migration_files import ONE, step, write
from restwell import App, Restwell
from restwell.auth import Actor
from restwell.database import Migrations, open_database
from restwell.database._migration_lint import lint
from restwell.database._migrations import KIT
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import (
    ClientCredentials,
    Controller,
    Feature,
    TokenScheme,
    Version,
    get,
    signed_in,
    signed_in_or_scope,
)
from tiny.app import authenticate

FEATURE: Any = Feature
CREDENTIALS = ClientCredentials("/oauth/token", {"notes:read": "Read notes."})


class Notes(Controller):
    path = "/notes"

    @get(guards=[signed_in])
    async def of_users(self, actor: Actor) -> str:
        return actor.role

    @get("/all", guards=[signed_in_or_scope("notes:read")])
    async def of_readers(self) -> str:
        raise NotImplementedError


class Accounts:
    """A service."""


class Tokens:
    """Authentication that is built from a service."""

    def __init__(self, accounts: Accounts) -> None:
        assert isinstance(accounts, Accounts)

    async def __call__(self, token: str) -> Actor:
        return await authenticate(token)


class Members(Feature):
    """A feature with an option of its own."""

    def __init__(self, *, token_path: str = CREDENTIALS.token_path) -> None:
        super().__init__(
            controllers=[Notes],
            services=[Accounts],
            authenticate=Tokens,
            client_credentials=ClientCredentials(token_path, CREDENTIALS.scopes),
        )


def tables(folder: Path, *packages: str) -> dict[str, Path]:
    return {each: write(folder / each, {"0001_first": step("0001", None, table=each)}) for each in packages}


def built(settings: Settings, *parts: Any, **options: Any) -> App:
    return Restwell(settings, name="features").app(parts, **options)


async def test_the_tables_of_a_feature_are_made_after_those_of_the_kit_and_before_those_of_the_application(
    tiny_settings: Settings, tmp_path: Path, empty_url: str
) -> None:
    """Breaks when an application migrates and checks only the folder of ``kit.app``."""
    kit = sorted(f"restwell {each.stem}" for each in (KIT / "versions").glob("0*.py"))
    own = write(tmp_path / "application", {"0001_own": ONE})
    parts = [Feature(migrations=tables(tmp_path, "b")), Version("/v1", [Feature(migrations=tables(tmp_path, "a"))])]
    migrations = built(tiny_settings, *parts, migrations=own).migrations

    assert migrations.head == f"{kit[-1]}, b 0001_first, a 0001_first, 0001_own"
    async with open_database(empty_url) as database:
        pending = migrations.pending(await migrations.applied(database))
        assert list(map(str, pending)) == [*kit, "b 0001_first", "a 0001_first", "0001_own"]
        with pytest.raises(ConfigurationError, match=r"revision none, not .*, b 0001_first, a 0001_first, 0001_own"):
            await migrations.check(database)
        ran = await migrations.upgrade(database)
        await migrations.check(database)
    assert [each for each in ran if each.endswith(" (n INTEGER)")] == [
        "CREATE TABLE b (n INTEGER)",
        "CREATE TABLE a (n INTEGER)",
        "CREATE TABLE t0001 (n INTEGER)",
    ]


async def test_an_application_is_not_ready_before_the_tables_of_its_features_exist(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    """Breaks when readiness knows only the migrations of ``kit.app``."""
    app = built(tiny_settings, Feature(migrations=tables(tmp_path, "late")))
    async with running(app) as client:
        await Migrations().upgrade(app.kit.database)
        assert (await client.get("/health/ready")).status_code == 503
        await app.migrations.upgrade(app.kit.database)
        assert (await client.get("/health/ready")).json()["schema"] == app.migrations.head


def test_the_migrations_of_features_are_linted(tmp_path: Path, tiny_settings: Settings) -> None:
    """Breaks when only those of the application are."""
    blocking = ONE.replace("CREATE TABLE t0001 (n INTEGER)", "CREATE INDEX i ON t (n)")
    app = built(tiny_settings, Feature(migrations={"accounts": write(tmp_path, {"0001_blocking": blocking})}))
    assert {each.revision for each in lint(app.migrations)} == {"accounts 0001_blocking"}


async def served(*_: Any) -> None:
    """An existing application."""


def test_a_wrapped_application_has_the_tables_of_its_features(tiny_settings: Settings, tmp_path: Path) -> None:
    app = Restwell(tiny_settings, name="wrapped").wrap(served, features=[Feature(migrations=tables(tmp_path, "a"))])
    assert list(map(str, app.migrations.files)) == ["a 0001_first"]


@pytest.mark.parametrize(
    "options",
    [
        {"controllers": [Notes]},
        {"authenticate": authenticate},
        {"session_cookies": True},
        {"client_credentials": CREDENTIALS},
        {"types": {int: bool}},
    ],
)
def test_a_wrapped_application_refuses_features_for_routes_of_the_kit(
    tiny_settings: Settings, options: dict[str, Any]
) -> None:
    """Breaks when an option that has no effect there is accepted."""
    with pytest.raises(TypeError, match=r"kit.wrap serves no controllers: build them with kit.app"):
        Restwell(tiny_settings, name="wrapped").wrap(served, features=[Feature(**options)])


async def test_a_feature_authenticates_the_routes_of_the_application(tiny_settings: Settings) -> None:
    """Breaks when the class is not built from services."""
    async with running(built(tiny_settings, Version("/v1", [Members()]))) as client:
        found = await client.get("/v1/notes", headers={"authorization": "Bearer owner"})
        assert (found.status_code, found.text) == (200, "owner")
        assert_problem(await client.get("/v1/notes"), 401, "unauthorized")


@pytest.mark.parametrize(
    "parts",
    [
        [Feature(controllers=[Notes], authenticate=authenticate, session_cookies=True)],
        [Feature(controllers=[Notes], authenticate=TokenScheme(authenticate, session_cookies=True))],
        [Feature(authenticate=authenticate), Feature(controllers=[Notes], session_cookies=True)],
    ],
)
async def test_a_feature_accepts_session_cookies(tiny_settings: Settings, parts: list[Feature]) -> None:
    """Breaks when the option of the feature is not read."""
    async with running(built(tiny_settings, *parts)) as client:
        found = await client.get("/notes", headers={"cookie": "__Host-access=owner"})
    assert (found.status_code, found.text) == (200, "owner")


def token_urls(app: App) -> list[str]:
    """The token URL in the document of each version."""
    schemes = [each["components"]["securitySchemes"]["client_credentials"] for each in app.documents.values()]
    return [each["flows"]["clientCredentials"]["tokenUrl"] for each in schemes]


def test_the_token_path_of_a_feature_is_below_the_prefix_of_its_version(tiny_settings: Settings) -> None:
    """Breaks when the prefix is left out: clients would ask a path that does not exist."""
    members = Members()
    versions = built(tiny_settings, Version("/v1", [members]), Version("/v2", [members]))
    assert token_urls(versions) == ["/v1/oauth/token", "/v2/oauth/token"]
    assert token_urls(built(tiny_settings, members)) == ["/oauth/token"]


BOTH = "remove it from all but one"


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ([Feature(authenticate=authenticate), Members()], {}, f"a Feature and Members both have authenticate=: {BOTH}"),
        ([Members()], {"authenticate": authenticate}, f"kit.app and Members both have authenticate=: {BOTH}"),
        (
            [Feature(client_credentials=CREDENTIALS), Members()],
            {},
            f"a Feature and Members both have client_credentials=: {BOTH}",
        ),
        (
            [Feature(migrations={"a": Path("x")}), Feature(migrations={"a": Path("y")})],
            {},
            "a Feature and a Feature both have migrations of the package a: rename one of the packages",
        ),
        (
            [Feature(types={int: bool}), Feature(types={int: bool})],
            {},
            "a Feature and a Feature both have the concrete type of int: remove it from one of them",
        ),
        ([FEATURE(types={int: lambda: 5})], {}, "must return the concrete type of int, not 5"),
        ([Feature(session_cookies=True)], {}, "session_cookies needs authenticate="),
    ],
)
def test_features_that_contradict_each_other_are_refused(
    tiny_settings: Settings, features: list[Feature], options: dict[str, Any], message: str
) -> None:
    """Breaks when the last one wins."""
    with pytest.raises(TypeError, match=message):
        built(tiny_settings, *features, **options)


def test_a_wrong_option_is_refused_where_the_feature_is_declared() -> None:
    """Breaks when a subclass of Feature is not checked."""
    with pytest.raises(TypeError, match=r"^Members: client_credentials must be ClientCredentials with a token_path"):
        Members(token_path="oauth/token")


def test_a_subclass_of_a_feature_has_options_of_its_own() -> None:
    feature = Members(token_path="/token")
    assert feature.client_credentials == ClientCredentials("/token", CREDENTIALS.scopes)
    assert (feature.controllers, feature.jobs, feature.migrations) == ([Notes], (), {})


def test_the_settings_may_remove_a_feature_also_from_a_version() -> None:
    """Breaks when ``enabled`` is not asked: a page for developers would be in production."""
    notes = Feature(controllers=[Notes], enabled=lambda settings: settings.in_production)
    for parts in ([notes], [Version("/v1", [notes])]):
        assert not any("notes" in route.path for route in Restwell(Settings()).app(parts).routes)
    production = Settings.model_validate({"app": {"env": "production"}})
    app = Restwell(production).app([notes], authenticate=authenticate)
    assert any("notes" in route.path for route in app.routes)
    with pytest.raises(TypeError, match="enabled must be a function of the settings"):
        FEATURE(enabled=True)
