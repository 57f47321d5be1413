"""``restwell client``: clients of the API, written from its OpenAPI document."""

from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Final

import typer

from restwell._cli.api import documents_of_application
from restwell._cli.openapi_sources import ANY_VERSION, read_documents, snapshot_path
from restwell._client._folder import write_files
from restwell._client._model import Api
from restwell._client._python import write_python
from restwell._client._reader import read_api
from restwell._client._typescript import typescript_client
from restwell.errors import ConfigurationError

commands: Final = typer.Typer(no_args_is_help=True, help="Write a client of the API.")

Folder = Annotated[Path, typer.Argument(help="Where the client is written.", show_default=False)]
Source = Annotated[
    str | None,
    typer.Argument(help="A file, -, a URL or a git revision. Without it: the application.", show_default=False),
]
Version = Annotated[str | None, typer.Option(help="The prefix of the version, such as /v1.")]
Snapshot = Annotated[
    str | None,
    typer.Option(help="The path of the documents in a git revision. Without it: openapi in pyproject.toml."),
]


@commands.command()
def python(folder: Folder, source: Source = None, *, version: Version = None, snapshot: Snapshot = None) -> None:
    """Write an asynchronous client as a Python package. It needs httpx and msgspec."""
    name = folder.resolve().name
    if not name.isidentifier() or iskeyword(name):
        raise ConfigurationError([f"{folder}: {name} cannot be the name of a Python package, such as shop_client"])
    write_files(folder, write_python(described_api(source, version, snapshot)))


@commands.command()
def typescript(folder: Folder, source: Source = None, *, version: Version = None, snapshot: Snapshot = None) -> None:
    """Write a TypeScript client with strict types. It depends on nothing but fetch."""
    write_files(folder, typescript_client(described_api(source, version, snapshot)))


def described_api(source: str | None, version: str | None, snapshot: str | None) -> Api:
    """The API of the one document that the arguments of a command name. Raises ConfigurationError."""
    found = documents_of_application(version) if source is None else read_documents(source, snapshot, version)
    if len(found) > 1:
        raise ConfigurationError([f"choose a version with --version: {', '.join(f'/{name}' for name in found)}"])
    if not found:
        raise ConfigurationError([f"{source} has no snapshot {snapshot_path(snapshot)} of {version or 'any version'}"])
    if version is not None and ANY_VERSION in found:
        raise ConfigurationError([f"{source} is one document: leave out --version"])
    return read_api(next(iter(found.values())))
