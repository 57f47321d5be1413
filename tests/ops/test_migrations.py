"""The page of the migrations."""

from ops_app import FormBrowser, create_app
from restwell.database import Database, open_database
from restwell.ops._migrations import read_migrations
from restwell.settings import Settings


async def test_the_page_shows_the_migrations_of_every_package(admin: FormBrowser, settings: Settings) -> None:
    page = await admin.open("/ops/migrations")
    assert page.count('<span class="badge ok">applied</span>') == len(
        [file for files in create_app(settings).migrations.packages.values() for file in files]
    )
    assert "accounts_mfa" in page
    assert "run restwell migrate" not in page


async def test_what_is_missing_comes_first(settings: Settings, tmp_path: object) -> None:
    database: Database
    async with open_database(f"sqlite:///{tmp_path}/empty.db") as database:
        rows = await read_migrations(create_app(settings).migrations, database)
    assert {row.state for row in rows} == {"pending"}
