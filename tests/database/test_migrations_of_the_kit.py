"""The kit's own tables: from the first schema to the newest, and to that of a newer release, with rows in each."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select

from restwell import idempotency
from restwell._metadata import metadata
from restwell.cache import _suspension as suspension
from restwell.database import Database, Migrations, explain_queries, find_queries, open_database, query
from restwell.database._migrations import KIT
from restwell.errors import ConfigurationError
from restwell.events import _queries as event_queries
from restwell.idempotency import REPLAYED_HEADER, StoredResponse, execute_once
from restwell.jobs import JobContext, Jobs, job
from restwell.jobs import _operation_queries as operations
from restwell.jobs import _queries as queries
from restwell.jobs._notifier import open_notifier
from restwell.jobs._store import JobStore
from servers import ROOT, SUPPORT, free_port
from table_definitions import assert_tables_equal_definitions

FILES = sorted((KIT / "versions").glob("0*.py"))
ID = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5")
HASH = hashlib.sha256(b"request").hexdigest()
HEADERS = b'{"x":"y"}'.hex()
LITERALS = {
    "postgresql": {
        "id": f"'{ID}'",
        "past": "now() - interval '1 day'",
        "no": "false",
        "hash": f"'\\x{HASH}'",
        "headers": f"'\\x{HEADERS}'",
    },
    "sqlite": {
        "id": f"X'{ID.hex}'",
        "past": "(unixepoch() - 86400) * 1000000",
        "no": "0",
        "hash": f"X'{HASH}'",
        "headers": f"X'{HEADERS}'",
    },
}
ROWS = {
    "0001_cache_suspension": [
        "UPDATE cache_suspension SET suspended_at = {past}",
        "INSERT INTO cache_pending_invalidations (id, tag, created_at) VALUES ({id}, 'product:1', {past})",
    ],
    "0002_jobs": [
        """INSERT INTO jobs (id, name, queue, priority, state, arguments, attempts, max_attempts, fencing_token,
        isolated, run_at, enqueued_at)
        VALUES ({id}, 'send', 'mails', 0, 'ready', '{{}}', 1, 3, 1, {no}, {past}, {past})""",
        """INSERT INTO job_failures (job_id, fencing_token, attempt, error, traceback, failed_at)
        VALUES ({id}, 1, 1, 'Timeout', '', {past})""",
        "INSERT INTO cron_runs (name, scheduled_at) VALUES ('nightly', {past})",
        "INSERT INTO paused_queues (queue, paused_at) VALUES ('images', {past})",
        """INSERT INTO job_bulk_changes (job_id, action, state, requested_at, before_finished_at, before_id, examined,
        changed) VALUES ({id}, 'retry', 'dead', {past}, {past}, {id}, 0, 0)""",
    ],
    "0003_idempotency_keys": [
        """INSERT INTO idempotency_keys (user_id, key, request_hash, body, created_at)
        VALUES ({id}, 'old', {hash}, {hash}, {past})""",
    ],
    "0004_idempotent_responses": [
        """INSERT INTO idempotency_keys (user_id, key, target, request_hash, status, headers, body, created_at)
        VALUES ({id}, 'new', 'POST /v1/things', {hash}, 202, {headers}, {hash}, {past})""",
    ],
    "0005_events": [
        """INSERT INTO outbox_events (topic, partition, position, key, payload, appended_at, expires_at)
        VALUES ('prices', 3, 7, 'a', '{{}}', {past}, {past})""",
        "INSERT INTO outbox_partitions (topic, partition, position) VALUES ('prices', 3, 7)",
        "INSERT INTO inbox_positions (consumer, partition, position) VALUES ('history', 3, 6)",
    ],
    "0006_event_failures": [
        """INSERT INTO inbox_positions (consumer, partition, position, attempts, error)
        VALUES ('statistic', 3, 6, 2, 'ValueError: no such product')""",
    ],
}
"""What each release that added a migration wrote. A new migration needs a line here."""

NEWER = '''"""{name} ({phase}-deploy)."""
from alembic import op
from sqlalchemy import Column, Text
revision = "{number}"
down_revision = "{before}"
def upgrade() -> None:
'''
TABLES = [table.name for table in metadata.sorted_tables]
ADDS = "".join(
    f'    op.add_column("{name}", Column("added", Text, nullable=False, server_default="x"))\n' for name in TABLES
)
REMOVES = '    op.drop_column("idempotency_keys", "target")\n    op.drop_column("jobs", "traceparent")\n'


@job()
async def send(_context: JobContext) -> None: ...


def release(folder: Path, files: Sequence[Path] = FILES, *, newer: bool = False) -> Path:
    """The folder of the kit's migrations in a release with these files."""
    versions = folder / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, versions)
    if newer:
        last = int(FILES[-1].name[:4])
        for number, phase, body in ((last + 1, "pre", ADDS), (last + 2, "post", REMOVES)):
            head = NEWER.format(name="A step", phase=phase, number=f"{number:04}", before=f"{number - 1:04}")
            (versions / f"{number:04}_{phase}.py").write_text(head + body)
    return folder


async def write_rows(database: Database, revision: str) -> None:
    async with database.transaction() as tx:
        for statement in ROWS[revision]:
            await tx.run_script(statement.format(**LITERALS[database.dialect]))


async def use_every_table(database: Database, url: str) -> None:
    """Run what the kit does with its tables: each query is planned, and each kind of row is written and read."""
    await explain_queries(database, find_queries(queries, event_queries, suspension, idempotency))
    jobs = Jobs(database, open_notifier(database, url, None, "kit"))
    jobs.register([send])
    job_id = await jobs.enqueue(database, send)
    store = JobStore(database)
    claimed = await store.claim(["default"], 1, "worker")
    assert await store.complete((one, None) for one in claimed) == {job_id}
    await database.run(
        queries.insert_cron_run, name=job_id.hex, scheduled_at=(await database.one(queries.database_time))
    )
    assert not (await once(database, job_id.hex)).replayed
    assert (await once(database, job_id.hex)).replayed
    await suspension.CacheSuspension(database).suspend_now(["product:2"])


async def once(database: Database, key: str) -> StoredResponse:
    async def operation() -> StoredResponse:
        return StoredResponse(200, {}, b"")

    return await execute_once(database, ID, key, "POST /v1/things", b"request", operation)


async def read_the_old_rows(database: Database) -> None:
    """What the older releases wrote has the meaning that it had."""
    assert [one.error for one in await database.all(operations.failures_of, job_id=ID)] == ["Timeout"]
    assert "nightly" in {row["name"] for row in await database.all(queries.latest_cron_runs)}
    [claimed] = await JobStore(database).claim(["mails"], 1, "worker")
    assert (claimed.id, claimed.name, claimed.attempts) == (ID, "send", 2)
    await JobStore(database).release([claimed])
    old, new = [await once(database, key) for key in ("old", "new")]
    assert (old.status, old.headers, old.body.hex()) == (201, {REPLAYED_HEADER: "true"}, HASH)
    assert (new.status, new.headers, new.body.hex()) == (202, {"x": "y", REPLAYED_HEADER: "true"}, HASH)
    found = suspension.CacheSuspension(database)
    await found.refresh()
    assert found.suspended_at is not None
    assert "product:1" in await database.all(suspension._list_pending, count=10)


async def migrate_step_by_step(database: Database, folder: Path) -> None:
    """Each release of the kit up to this one, and what it wrote."""
    for count, file in enumerate(FILES, start=1):
        migrations = Migrations(packages={"restwell": release(folder / file.stem, FILES[:count])})
        await migrations.upgrade(database)
        await migrations.check(database)
        await write_rows(database, file.stem)


async def test_rows_of_every_older_release_survive_and_are_used(empty_url: str, tmp_path: Path) -> None:
    """Breaks when the new columns of idempotency keys have no defaults: the rows of the release before are not read."""
    async with open_database(empty_url) as database:
        await migrate_step_by_step(database, tmp_path)
        await Migrations().check(database)
        for table in metadata.sorted_tables:
            assert await database.one(query("test.count", select(func.count().label("n")).select_from(table), into=int))
        await read_the_old_rows(database)
        await use_every_table(database, empty_url)


async def test_a_newer_release_of_the_kit_upgrades_its_tables(empty_url: str, tmp_path: Path) -> None:
    """Breaks when only the application's migrations are compared, or when both phases run at once."""
    async with open_database(empty_url) as database:
        await migrate_step_by_step(database, tmp_path)
        this, newer = Migrations(), Migrations(packages={"restwell": release(tmp_path / "newer", newer=True)})
        with pytest.raises(
            ConfigurationError, match=r"at revision restwell \w+, not restwell \w+_post: run restwell migrate"
        ):
            await newer.check(database)
        await newer.upgrade(database, before_deploy=True)
        for running in (this, newer):
            await running.check(database)
        await read_the_old_rows(database)
        await use_every_table(database, empty_url)

        await newer.upgrade(database)
        await newer.check(database)
        with pytest.raises(ConfigurationError, match=r"restwell \w+_post, which is incompatible with this release"):
            await this.check(database)
        assert [one.error for one in await database.all(operations.failures_of, job_id=ID)] == ["Timeout"]


async def test_the_migrated_tables_equal_their_definitions(empty_url: str) -> None:
    """Breaks when a definition changes alone."""
    async with open_database(empty_url) as database:
        await Migrations().upgrade(database)
        await assert_tables_equal_definitions(database, metadata)


@pytest.mark.integration
def test_an_installed_upgrade_of_the_kit_is_migrated_by_the_command(tmp_path: Path) -> None:
    """As after ``pip install --upgrade restwell``: the application is the same, and has no migration for it."""
    shutil.copytree(ROOT / "src/restwell", tmp_path / "upgrade/restwell", ignore=shutil.ignore_patterns("__pycache__"))
    release(tmp_path / "upgrade/restwell/_migrations", newer=True)
    environment = {
        "RESTWELL_APP": "tiny.app:project",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}",
        "RUNTIME_DIR": str(tmp_path),
        "PORT": str(free_port()),
    }

    def run(kit: Path, *arguments: str) -> str:
        paths = {"PYTHONPATH": f"{kit}:{SUPPORT}"}
        command = [sys.executable, "-B", "-m", "restwell", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env={**environment, **paths}, capture_output=True, text=True, check=False, timeout=60
        )
        return f"{done.returncode} {done.stdout}{done.stderr}"

    this, newer = ROOT / "src", tmp_path / "upgrade"
    last = int(FILES[-1].name[:4])
    old, pre, post = (f"restwell {name}" for name in (FILES[-1].stem, f"{last + 1:04}_pre", f"{last + 2:04}_post"))
    assert run(this, "migrate").startswith(f"0 empty -> {old}, 0001_notes (")
    assert f"at revision {old}, not {post}: run restwell migrate\n" in run(newer, "serve")
    assert run(newer, "migrate", "--before-deploy").startswith(f"0 {old} -> {pre} (")
    assert run(this, "jobs", "list").startswith("0 ")
    assert run(newer, "migrate").startswith(f"0 {pre} -> {post} (")
    assert "which is incompatible with this release" in run(this, "jobs", "list")
