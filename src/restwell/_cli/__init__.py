"""The ``restwell`` command. Each configuration error is one line on standard error, and the exit code is 2.

A command is imported only if the arguments name it: all of them take a second of processor time.
"""

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Final

import typer

from restwell._terminal import printable
from restwell.errors import AppError, ConfigurationError

EXIT_CONFIGURATION: Final = 2

COMMANDS: Final = {
    "dashboards": "Write the dashboards of Grafana and the alerts of Prometheus for the metrics of the kit.",
    "doctor": "Check settings, servers, machine and routes; exit code 1 if there is an error or a warning.",
    "events": "List the consumers of events: how many they have not applied, and the last error of those that fail.",
    "explain": "Show named queries whose plans do not scale; exit code 1 if there are any.",
    "migrate": "Migrate the database schema to the newest revision.",
    "new": "Create a project: a resource with its migration and tests, and the files to run, check and deploy it.",
    "settings": "List every setting with its value, its source and its meaning. Secrets are redacted.",
    "worker": "Run jobs until SIGTERM. The database schema must be at the newest revision.",
    "dev": "Migrate, seed, and serve with reload, for development.",
    "serve": "Run the HTTP server. Run migrate first: the schema must be compatible.",
    "backup": "Copy a SQLite database into a new file while it is in use.",
    "seed": "Fill a development database with demo data. Idempotent.",
    "routes": "List every route with its guards, its rate limit, its handler, and how it is called.",
    "openapi": "Print the OpenAPI document of a version.",
    "api": "Find changes that break clients, and who uses what is deprecated.",
    "cache": "Show cache statistics, or invalidate the cache.",
    "client": "Write a client of the API.",
    "generate": "Write a resource, a job or a migration into a project.",
    "graphql": "The schema of GraphQL, and its trusted documents.",
    "jobs": "List, show and change jobs; pause and resume their queues.",
    "users": "Add accounts, such as the first admin.",
}
"""Each command with what the list of commands says of it."""


def main() -> None:
    """The entry point of the console script."""
    with exit_on_errors():
        new_cli(sys.argv[1:])()


def new_cli(names: Collection[str] = COMMANDS.keys()) -> typer.Typer:
    """The command with its subcommands. Those that are not in ``names`` are in the list of commands, and do nothing."""
    cli = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Run and operate a restwell API.",
    )
    cli.callback()(_root)
    for name, summary in COMMANDS.items():
        if name not in names:
            cli.command(name, help=summary)(_nothing)
            continue
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "commands"):
            cli.add_typer(module.commands, name=name)
        else:
            cli.command(name)(getattr(module, name))
    return cli


@contextmanager
def exit_on_errors() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        faults = error.faults
    except AppError as error:
        from restwell.database import DatabaseBusy, DatabaseUnavailable

        if not isinstance(error, DatabaseUnavailable | DatabaseBusy):
            raise
        hint = "" if ";" in error.detail else "; start the server, or correct the URL (restwell doctor checks more)"
        faults = [f"DATABASE_URL: {error.detail}{hint}"]
    else:
        return
    print_faults(faults)
    raise SystemExit(EXIT_CONFIGURATION)


def print_faults(faults: Sequence[str]) -> None:
    print(*(printable(f"restwell: {fault}") for fault in faults), sep="\n", file=sys.stderr, flush=True)


def _root(app: Annotated[str | None, typer.Option(help="The application, as module:name.")] = None) -> None:
    if app is not None:
        os.environ["RESTWELL_APP"] = app  # worker processes find the application with it


def _nothing() -> None: ...
