"""Migrates, seeds and serves with a worker, as ``restwell dev`` does after each change of a file."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from restwell import _server as server
from restwell import _startup as startup
from restwell._application import App
from restwell._child_processes import exit_with_parent
from restwell._cli import exit_on_errors, print_faults
from restwell._cli.loading import ApplicationError, check_not_production, create_app, load, with_database
from restwell._project import Project
from restwell._startup import StartupReport
from restwell._supervisor import supervise, worker_options
from restwell.database import Database
from restwell.jobs import WorkerOptions
from restwell.observability._log_output import output
from restwell.settings import Settings


def run_dev() -> None:
    exit_with_parent()
    with exit_on_errors():
        try:
            _prepare_and_serve_dev()
        except ApplicationError as error:  # the next change of a file may mend it
            print_faults(error.faults)
            raise SystemExit(1) from None


def _prepare_and_serve_dev() -> None:
    project, settings = load(serves=True)
    check_not_production(settings, "dev")
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
