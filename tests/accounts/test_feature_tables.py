"""The tables of accounts: those of the migrations equal their definitions, and lists are read along indexes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from sqlalchemy import text

from accounts_app import create_app
from query_plans import assert_follows_an_index, pages
from restwell.accounts._api_keys import queries as api_keys
from restwell.accounts._audit import queries as audit
from restwell.accounts._clients import queries as clients
from restwell.accounts._invitations import queries as invitations
from restwell.accounts._metadata import metadata
from restwell.accounts._sessions import queries as sessions
from restwell.accounts._users import queries as users
from restwell.database import Database, Query, find_queries, open_database, query
from restwell.database._migration_lint import lint
from restwell.database._migrations import Migrations
from restwell.ids import new_id
from restwell.settings import Settings
from servers import ROOT
from table_definitions import assert_tables_equal_definitions

ACCOUNTS = ROOT / "src/restwell/accounts"
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
EVERY_PART = create_app(Settings(), registration="invitation")


async def tables_of(database: Database) -> set[str]:
    return set(await database.all(query("test.tables", text(TABLES[database.dialect]), into=str)))


async def test_the_migrated_tables_of_all_parts_equal_their_definitions(empty_url: str) -> None:
    """Fails when a definition changes alone, or when a part defines its tables in another metadata."""
    async with open_database(empty_url) as database:
        await Migrations().upgrade(database)
        of_the_kit = await tables_of(database)
        await EVERY_PART.migrations.upgrade(database)
        assert await tables_of(database) - of_the_kit == set(metadata.tables)
        await assert_tables_equal_definitions(database, metadata)


def test_the_migrations_of_accounts_pass_the_lint() -> None:
    assert lint(create_app(Settings(), registration="invitation").migrations) == []


def lists() -> Iterator[Any]:
    of_user = {"user_id": new_id()}
    keys = {"after_created_at": datetime(2026, 2, 1, tzinfo=UTC), "after_id": new_id()}
    for each in (users.page, audit.page, clients.page, invitations.page):
        yield from pages(each, {}, keys, each.name)
    yield from pages(audit.page_of_user, of_user, keys, audit.page_of_user.name)
    times = dict.fromkeys(("now", "idle_since"), keys["after_created_at"])
    yield pytest.param(sessions.of_user, {**of_user, **times}, id=sessions.of_user.name)
    yield pytest.param(api_keys.of_user, {"match_user_id": new_id()}, id=api_keys.of_user.name)
    yield pytest.param(api_keys.of_user, {"match_user_id": new_id()}, id=api_keys.of_user.name)


@pytest.mark.parametrize(("query", "arguments"), list(lists()))
async def test_every_page_of_a_list_of_accounts_is_read_along_an_index(
    database: Database, query: Query[Any], arguments: dict[str, Any]
) -> None:
    """Fails if a list has an order without an index, or the index of a user's rows is dropped."""
    plan = await assert_follows_an_index(database, query, arguments)
    assert not {"user_id", "match_user_id"} & arguments.keys() or "_by_user" in plan, plan


def test_every_query_of_accounts_is_explained() -> None:
    """Fails if a part does not name its module of queries in its feature."""
    modules = [
        import_module(f"restwell.accounts.{file.parent.name}.queries") for file in sorted(ACCOUNTS.glob("*/queries.py"))
    ]
    assert len(modules) > 5
    assert set(find_queries(*modules)) <= set(create_app(Settings(), registration="invitation").queries())
