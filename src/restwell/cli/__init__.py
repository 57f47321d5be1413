"""The ``restwell`` command: one function a command. A fault of configuration is one line each and exit code 2."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from restwell import server, startup
from restwell.app import App
from restwell.child_processes import exit_with_parent
from restwell.cli import cache, jobs
from restwell.cli.loading import load, with_database
from restwell.cli.worker import worker
from restwell.database import (
    Database,
    DatabaseBusy,
    DatabaseUnavailable,
    Migrations,
    Plan,
    SqliteDatabase,
    explain_queries,
    lint,
    unindexed_foreign_keys,
)
from restwell.errors import ConfigurationError
from restwell.jobs import WorkerOptions
from restwell.observability.log_output import output
from restwell.project import APP_VARIABLE, Project, named_application
from restwell.reload import run_with_reload
from restwell.settings import Settings
from restwell.startup import StartupReport
from restwell.supervisor import supervise, worker_options
from restwell.web.guards import guard_name
from restwell.web.openapi import operations
from restwell.web.rate_limits import declared_rate, route_guards

T = TypeVar("T")

EXIT_FINDINGS: Final = 1
EXIT_CONFIGURATION: Final = 2

cli: Final = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run and look after a restwell API.",
)
cli.add_typer(cache.commands, name="cache")
cli.add_typer(jobs.commands, name="jobs")
cli.command()(worker)


def main() -> None:
    """The entry point of the console script."""
    with _faults_as_exit():
        cli()


@contextmanager
def _faults_as_exit() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        faults = error.faults
    except (DatabaseUnavailable, DatabaseBusy) as error:
        faults = [f"DATABASE_URL: {error.detail}"]
    else:
        return
    for fault in faults:
        print(f"restwell: {fault}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)


@cli.callback()
def root(app: Annotated[str | None, typer.Option(help="The application, as module:name.")] = None) -> None:
    if app is not None:
        os.environ[APP_VARIABLE] = app  # workers are processes of their own and find the application the same way


@cli.command()
def dev() -> None:
    """Migrate, seed, and serve with reload: everything a working copy needs."""
    module, _, _ = named_application().partition(":")
    run_with_reload(_serve_working_copy, module, exit_on=EXIT_CONFIGURATION)


def _serve_working_copy() -> None:
    exit_with_parent()
    with _faults_as_exit():
        _prepare_and_serve()


def _prepare_and_serve() -> None:
    project, settings = load()
    _refuse_in_production(settings, "dev")
    server.check_address_available(settings.host, settings.port)

    async def prepare(database: Database) -> tuple[str, StartupReport]:
        await _refuse_too_many_connections(database, settings)
        found = await startup.look(settings, project.name, database)
        await Migrations(project.migrations).upgrade(database)
        return await project.seed(database) if project.seed is not None else "", found

    seeded, found = with_database(settings, prepare)
    with server.shared_metrics_dir(settings) as shared:  # so /metrics has the worker's too
        app = project.create_app(shared)
        _welcome(project, settings, app, seeded, found)
        found.tell()
        with _worker_beside(app, shared):
            server.serve(shared, replace_hung=False)


@contextmanager
def _worker_beside(app: App, settings: Settings) -> Iterator[None]:
    """A worker process while the server runs, where there are jobs."""
    if not app.kit.jobs.registered:
        yield
        return
    arguments = (worker_options(app, ()), 1, settings.database.url.get_secret_value())
    beside = multiprocessing.get_context("fork").Process(target=_supervise_beside, args=arguments, name="supervisor")
    beside.start()
    try:
        yield
    finally:
        beside.terminate()
        beside.join()


def _supervise_beside(options: WorkerOptions, count: int, database_url: str) -> None:
    exit_with_parent()
    supervise(options, count, database_url)


@cli.command()
def serve() -> None:
    """Serve. The schema must be at the newest revision; run migrate first."""
    project, settings = load()
    server.check_address_available(settings.host, settings.port)

    async def check(database: Database) -> StartupReport:
        await _refuse_too_many_connections(database, settings)
        found = await startup.look(settings, project.name, database)
        await Migrations(project.migrations).check(database)
        project.create_app(settings)  # what a worker process could not be made of ends this one, with its line
        return found

    found = with_database(settings, check)
    if sys.stdout.isatty():
        print("\n".join(found.lines()), flush=True)
    found.tell()
    server.serve(settings)


@cli.command()
def migrate(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the statements, run nothing.")] = False,
    before_deploy: Annotated[
        bool, typer.Option("--before-deploy", help="Stop at the first post-deploy revision: old code still serves.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look for what would block or break a live database; exit code 1 if any.")
    ] = False,
) -> None:
    """Bring the database's schema to the newest revision."""
    project, settings = load()
    migrations = Migrations(project.migrations)
    if check:
        _check_migrations(migrations)
        return

    async def upgrade(database: Database) -> tuple[str | None, str | None, list[str]]:
        current = await migrations.current(database)
        if sql:
            pending = migrations.pending(await migrations.applied(database), before_deploy=before_deploy)
            return current, None, migrations.statements(database.dialect, pending)
        ran = await migrations.upgrade(database, before_deploy=before_deploy)
        return current, await migrations.current(database), ran

    before, after, statements = with_database(settings, upgrade)
    if sql:
        print("\n\n".join(f"{statement};" for statement in statements))
    else:
        print(f"{before or 'empty'} -> {after or 'empty'} ({len(statements)} statements)")


def _check_migrations(migrations: Migrations) -> None:
    findings = lint(migrations)
    table = Table("revision", "rule", "statement", "what to do", box=None)
    for finding in findings:
        table.add_row(finding.revision, finding.rule, finding.statement, finding.advice)
    if findings:
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    print(f"{len(migrations.phases)} migrations, {len(findings)} findings")
    if findings:
        raise SystemExit(EXIT_FINDINGS)


@cli.command()
def backup(target: Annotated[Path, typer.Argument(help="The file to make; it must not be there yet.")]) -> None:
    """Copy a SQLite database into a new file while it is in use."""
    _, settings = load()
    if target.exists() or not target.parent.is_dir():
        what = "is there already" if target.exists() else "is in no folder that exists"
        raise ConfigurationError([f"{target} {what}; choose another name"])

    async def copy(database: Database) -> None:
        if not isinstance(database, SqliteDatabase):
            raise ConfigurationError(["this database is PostgreSQL: use pg_dump --format=custom"])
        await database.backup(target)

    with_database(settings, copy)
    print(f"{target} ({target.stat().st_size:,} bytes)")


@cli.command()
def explain(*, every: Annotated[bool, typer.Option("--all", help="Show every plan.")] = False) -> None:
    """Ask the database how it would run every named query; exit code 1 if one will not scale."""
    project, settings = load()

    async def ask(database: Database) -> tuple[list[Plan], list[str]]:
        await Migrations(project.migrations).check(database)
        return await explain_queries(database, project.queries()), await unindexed_foreign_keys(database)

    plans, keys = with_database(settings, ask)
    table = Table("query", "finding", "plan", box=None)
    for plan in dict.fromkeys(plans):
        if plan.findings or every:
            table.add_row(plan.query, "\n".join(plan.findings), plan.summary)
    for key in keys:
        table.add_row(key, "a foreign key without an index: a delete of the parent reads the whole table", "")
    found = sum(bool(plan.findings) for plan in plans) + len(keys)
    if found or every:
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    print(f"{len(plans)} plans, {found} findings")
    if found:
        raise SystemExit(EXIT_FINDINGS)


@cli.command()
def seed(
    *, rows: Annotated[int, typer.Option(help="Then make it this large, to see how it holds.", min=0)] = 0
) -> None:
    """Fill a development database with demo data; safe to repeat."""
    project, settings = load()
    _refuse_in_production(settings, "seed")
    if project.seed is None or (rows and project.load_data is None):
        raise ConfigurationError([f"{project.name} has no demo data{' of any size' if project.seed else ''}"])
    fill = project.seed

    async def fill_migrated(database: Database) -> str:
        await Migrations(project.migrations).check(database)
        return await fill(database)

    print(with_database(settings, fill_migrated))
    load_data = project.load_data
    if rows and load_data is not None:
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("rows", total=rows)
            done = with_database(
                settings, lambda database: load_data(database, rows, lambda n: progress.advance(bar, n))
            )
        print(done)
    cache.forget(project, settings)  # of a server that runs: this was written past it


@cli.command()
def routes() -> None:
    """List every route with its guards, its own rate and its handler."""
    project, settings = load()
    table = Table("method", "path", "who", "rate", "handler", box=None)
    for path, method, handler in operations(project.create_app(settings).litestar):
        guards = list(map(guard_name, route_guards(handler)))
        rate = declared_rate(handler)
        limit = f"{rate.count}/{rate.seconds} s" if rate is not None else ""
        table.add_row(method, path, ", ".join(guards) or "anyone", limit, handler.handler_name)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@cli.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    project, settings = load()
    document = msgspec.json.encode(project.create_app(settings).openapi)
    sys.stdout.buffer.write(msgspec.json.format(document, indent=2) + b"\n")


async def _refuse_too_many_connections(database: Database, settings: Settings) -> None:
    """The pools of all workers must fit into the server, or requests fail on the busiest day, not at the start."""
    limit = await database.connection_limit()
    extra = 1 + bool(settings.database.replica_urls)  # one asks for readiness, one for what replicas must have
    workers, pool = settings.workers, settings.database.pool_size + extra
    if limit is not None and workers * pool > limit:
        need = f"{workers} workers with {pool} connections each need {workers * pool}, and PostgreSQL allows {limit}"
        raise ConfigurationError(
            [f"DATABASE_POOL_SIZE: {need}; at most {limit // workers - extra}, fewer if others use it"]
        )


def _refuse_in_production(settings: Settings, command: str) -> None:
    if settings.in_production:
        raise ConfigurationError([f"{command} is for development; APP_ENV is production"])


def _welcome(project: Project, settings: Settings, app: App, seeded: str, found: StartupReport) -> None:
    base = f"http://{settings.host}:{settings.port}"
    parts = [
        f"{_describe(settings)}{f' ({seeded})' if seeded else ''}",
        _cache_of(settings),
        _jobs_of(settings),
        f"{settings.workers} workers",
    ]
    lines = [
        *(f"  {project.name:<7} {base}{prefix}" for prefix in app.prefixes),
        f"  docs    {base}/docs",
        f"  health  {base}/health/ready",
        f"  {' · '.join(parts)}",
        *(
            line
            for name, line in zip(found.services, found.lines(), strict=True)
            if name in {*settings.fallbacks(), *found.degraded}
        ),
        f"  {project.banner()}",
    ]
    output.write_text("\n".join(lines))  # it waits for no reader, and comes before the first line of the log


def _describe(settings: Settings) -> str:
    url = settings.database.url.get_secret_value()
    if url.startswith("sqlite"):
        return f"SQLite at {url.removeprefix('sqlite:///')}"
    return f"PostgreSQL at {url.partition('://')[2].rpartition('@')[2].partition('?')[0]}"


def _jobs_of(settings: Settings) -> str:
    if settings.jobs.url is None:
        return "jobs in the database"
    return f"jobs through {'RabbitMQ' if settings.jobs.url.get_secret_value().startswith('amqp') else 'Redis'}"


def _cache_of(settings: Settings) -> str:
    if settings.cache == "off":
        return "cache off"
    return "cache in Redis" if settings.redis.url is not None else "cache on this machine"
