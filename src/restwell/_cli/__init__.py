"""The ``restwell`` command. Each configuration error is one line on standard error, and the exit code is 2."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from restwell import _server as server
from restwell import _startup as startup
from restwell._application import App
from restwell._child_processes import exit_with_parent
from restwell._cli import api, cache, client, generate, graphql, jobs, users
from restwell._cli.dashboards import dashboards
from restwell._cli.doctor import doctor
from restwell._cli.events import events
from restwell._cli.explain import explain
from restwell._cli.loading import ApplicationError, create_app, create_app_to_inspect, load, with_database
from restwell._cli.migrate import migrate
from restwell._cli.new import new
from restwell._cli.settings import settings as settings_command
from restwell._cli.worker import worker
from restwell._extras import needs_extra
from restwell._overview import AppOption, new_cli
from restwell._project import APP_VARIABLE, Project, named_application
from restwell._startup import StartupReport
from restwell._supervisor import supervise, worker_options
from restwell.database import Database, DatabaseBusy, DatabaseUnavailable
from restwell.database._sqlite import SqliteDatabase
from restwell.errors import ConfigurationError
from restwell.jobs import WorkerOptions
from restwell.observability._log_output import output
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web._guards import guard_name
from restwell.web._openapi import operations

T = TypeVar("T")

EXIT_CONFIGURATION: Final = 2

cli: Final = new_cli()
cli.add_typer(api.commands, name="api")
cli.add_typer(cache.commands, name="cache")
cli.add_typer(client.commands, name="client")
cli.add_typer(generate.commands, name="generate")
cli.add_typer(graphql.commands, name="graphql")
cli.add_typer(jobs.commands, name="jobs")
cli.add_typer(users.commands, name="users")
cli.command()(dashboards)
cli.command()(doctor)
cli.command()(events)
cli.command()(explain)
cli.command()(migrate)
cli.command()(new)
cli.command("settings")(settings_command)
cli.command()(worker)


def main() -> None:
    """The entry point of the console script."""
    with _exit_on_errors():
        cli()


@contextmanager
def _exit_on_errors() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        faults = error.faults
    except (DatabaseUnavailable, DatabaseBusy) as error:
        hint = "" if ";" in error.detail else "; start the server, or correct the URL (restwell doctor checks more)"
        faults = [f"DATABASE_URL: {error.detail}{hint}"]
    else:
        return
    _print_faults(faults)
    raise SystemExit(EXIT_CONFIGURATION)


def _print_faults(faults: Sequence[str]) -> None:
    print(*(f"restwell: {fault}" for fault in faults), sep="\n", file=sys.stderr, flush=True)


@cli.callback()
def root(app: AppOption = None) -> None:
    if app is not None:
        os.environ[APP_VARIABLE] = app  # worker processes find the application with it


@cli.command()
def dev() -> None:
    """Migrate, seed, and serve with reload, for development."""
    with needs_extra("dev", "dev"):
        from restwell._reload import run_with_reload  # noqa: PLC0415  # loaded only if used
    module, _, _ = named_application().partition(":")
    run_with_reload(_run_dev, module, exit_on=EXIT_CONFIGURATION)


def _run_dev() -> None:
    exit_with_parent()
    with _exit_on_errors():
        try:
            _prepare_and_serve_dev()
        except ApplicationError as error:  # the next change of a file may mend it
            _print_faults(error.faults)
            raise SystemExit(1) from None


def _prepare_and_serve_dev() -> None:
    project, settings = load(serves=True)
    _check_not_production(settings, "dev")
    server.check_addresses(settings)

    with server.shared_metrics_dir(settings) as shared:  # so that /metrics includes the worker
        app = create_app(project, shared)

        async def prepare(database: Database) -> tuple[str, StartupReport]:
            await startup.check_connection_limit(database, settings)
            report = await startup.check_services(settings, project.name, database)
            await app.migrations.upgrade(database)
            return await project.seed(database) if project.seed is not None else "", report

        seeded, report = with_database(settings, prepare)
        _print_banner(project, settings, app, seeded, report)
        report.log()
        with _worker_process(app, shared):
            server.serve(shared, in_development=True)


@contextmanager
def _worker_process(app: App, settings: Settings) -> Iterator[None]:
    """Run a worker process next to the server."""
    arguments = (worker_options(app, ()), 1, settings.database.url.get_secret_value())
    supervisor = multiprocessing.get_context("fork").Process(target=_run_supervisor, args=arguments, name="supervisor")
    supervisor.start()
    try:
        yield
    finally:
        supervisor.terminate()
        supervisor.join()


def _run_supervisor(options: WorkerOptions, count: int, database_url: str) -> None:
    exit_with_parent()
    supervise(options, count, database_url)


@cli.command()
def serve() -> None:
    """Run the HTTP server. Run migrate first: the schema must be compatible."""
    project, settings = load(serves=True)
    server.check_addresses(settings)

    async def check(database: Database) -> StartupReport:
        await startup.check_connection_limit(database, settings)
        report = await startup.check_services(settings, project.name, database)
        # An error that would stop each worker process stops this one, with its message.
        app = create_app(project, settings)
        await app.migrations.check(database)
        return report

    report = with_database(settings, check)
    if sys.stdout.isatty():
        print("\n".join(report.lines()), flush=True)
    report.log()
    server.serve(settings)


@cli.command()
def backup(target: Annotated[Path, typer.Argument(help="The file to create. It must not exist.")]) -> None:
    """Copy a SQLite database into a new file while it is in use."""
    _, settings = load()
    if target.exists() or not target.parent.is_dir():
        what = "already exists" if target.exists() else "is in a folder that does not exist"
        raise ConfigurationError([f"{target} {what}; choose another path"])

    async def copy(database: Database) -> None:
        if not isinstance(database, SqliteDatabase):
            raise ConfigurationError(["backup supports SQLite only: use pg_dump --format=custom"])
        await database.backup(target)

    with_database(settings, copy)
    print(f"{target} ({target.stat().st_size:,} bytes)")


@cli.command()
def seed(
    *, rows: Annotated[int, typer.Option(help="Also load this number of rows, for load tests.", min=0)] = 0
) -> None:
    """Fill a development database with demo data. Idempotent."""
    project, settings = load()
    _check_not_production(settings, "seed")
    if project.seed is None or (rows and project.load_data is None):
        what, where = ("data for --rows", "load_data") if project.seed else ("demo data", "seed")
        raise ConfigurationError([f"{project.name} has no {what}: give its Project a function {where}="])
    seed_database = project.seed
    migrations = create_app_to_inspect(project, settings).migrations

    async def check_and_seed(database: Database) -> str:
        await migrations.check(database)
        return await seed_database(database)

    print(with_database(settings, check_and_seed))
    load_data = project.load_data
    if rows and load_data is not None:
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("rows", total=rows)
            done = with_database(
                settings, lambda database: load_data(database, rows, lambda n: progress.advance(bar, n))
            )
        print(done)
    cache.invalidate(project, settings)  # for a running server: the writes bypassed its cache


@cli.command()
def routes() -> None:
    """List every route with its guards, its rate limit, its handler, and how it is called."""
    project, settings = load()
    app = create_app_to_inspect(project, settings)
    table = Table("method", "path", "who", "rate", "handler", "called", box=None)
    called = f"through {app.host_reason}" if app.host_reason else "directly"
    for endpoint in operations(app.routes):
        guards = list(map(guard_name, endpoint.guards))
        rate = endpoint.declared_rate
        limit = f"{rate.count}/{rate.seconds} s" if isinstance(rate, Rate) else ""
        table.add_row(endpoint.method, endpoint.path, ", ".join(guards) or "anyone", limit, endpoint.name, called)
    for route in app.wrapped_routes:
        limit = f"{route.rate.count}/{route.rate.seconds} s" if isinstance(route.rate, Rate) else ""
        table.add_row(route.method, route.path, "", limit, "", "by the wrapped application")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


@cli.command()
def openapi(
    version: Annotated[
        str | None, typer.Option(help="The prefix of the version, such as /v1. Default: the last.")
    ] = None,
) -> None:
    """Print the OpenAPI document of a version."""
    project, settings = load()
    app = create_app_to_inspect(project, settings)
    if version is not None and version not in app.documents:
        prefixes = ", ".join(filter(None, app.documents))
        hint = f"choose one of {prefixes}" if prefixes else "the API has one version; leave the option out"
        raise ConfigurationError([f"--version {version}: {hint}"])
    document = msgspec.json.encode(app.openapi if version is None else app.documents[version])
    sys.stdout.buffer.write(msgspec.json.format(document, indent=2) + b"\n")


def _check_not_production(settings: Settings, command: str) -> None:
    if settings.in_production:
        raise ConfigurationError([f"{command} is for development; APP_ENV is production"])


def _print_banner(project: Project, settings: Settings, app: App, seeded: str, report: StartupReport) -> None:
    base = f"http://{settings.host}:{settings.port}"
    parts = [
        f"{_describe_database(settings)}{f' ({seeded})' if seeded else ''}",
        _describe_cache(settings),
        _describe_jobs(settings),
        f"{settings.workers} workers",
    ]
    lines = [
        *(f"  {project.name:<7} {base}{prefix}" for prefix in _prefixes(app)),
        f"  docs    {report.services.get('docs', f'{base}/docs')}",
        *([f"  ops     {base}/ops"] if any(route.path == "/ops" for route in app.routes) else []),
        f"  health  {base}/health/ready",
        f"  {' · '.join(parts)}",
        *(
            line
            for name, line in zip(report.services, report.lines(), strict=True)
            if name in {*settings.fallbacks(), *report.degraded}
        ),
        f"  {project.banner()}",
    ]
    output.write_text("\n".join(lines))  # does not block, and precedes the first log line


def _prefixes(app: App) -> list[str]:
    return [f"{each.prefix}{' (deprecated)' if each.lifecycle else ''}" for each in app.versions]


def _describe_database(settings: Settings) -> str:
    url = settings.database.url.get_secret_value()
    if url.startswith("sqlite"):
        return f"SQLite at {url.removeprefix('sqlite:///')}"
    return f"PostgreSQL at {url.partition('://')[2].rpartition('@')[2].partition('?')[0]}"


def _describe_jobs(settings: Settings) -> str:
    if settings.jobs.url is None:
        return "jobs in the database"
    return f"jobs through {'RabbitMQ' if settings.jobs.url.get_secret_value().startswith('amqp') else 'Redis'}"


def _describe_cache(settings: Settings) -> str:
    if settings.cache == "off":
        return "cache off"
    return "cache in Redis" if settings.redis.url is not None else "cache on this machine"
