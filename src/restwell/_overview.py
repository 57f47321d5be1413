"""``restwell --help``, without importing the commands: they take a second of processor time."""

from typing import Annotated, Final

import typer

SUMMARIES: Final = {
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
"""The commands in the order of ``restwell._cli``. A test compares the output of both."""

AppOption = Annotated[str | None, typer.Option(help="The application, as module:name.")]


def new_cli() -> typer.Typer:
    """The command without its subcommands."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Run and operate a restwell API.",
    )


def overview() -> typer.Typer:
    """The command with subcommands that do nothing."""
    cli = new_cli()
    cli.callback()(_root)
    for name, summary in SUMMARIES.items():
        cli.command(name, help=summary)(_nothing)
    return cli


def _root(app: AppOption = None) -> None: ...


def _nothing() -> None: ...
