"""``restwell graphql``: the schema of GraphQL, and the documents that clients may send."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from restwell._cli.loading import create_app_to_inspect, load
from restwell._extras import needs_extra
from restwell.errors import ConfigurationError

if TYPE_CHECKING:
    from restwell.graphql import GraphQLServer

commands: Final = typer.Typer(no_args_is_help=True, help="The schema of GraphQL, and its trusted documents.")

SUFFIXES: Final = {".graphql", ".gql"}


@commands.command()
def schema() -> None:
    """Print the schema."""
    print(_server().sdl, end="")


@commands.command()
def persist(
    sources: Annotated[list[Path], typer.Argument(help="Files of clients, one document each, or folders of them.")],
    *,
    prune: Annotated[bool, typer.Option(help="Remove the documents that are in none of the sources.")] = False,
) -> None:
    """Add documents to the trusted ones, the only ones that run in production, and print their ids.

    Documents of earlier releases stay, because clients in use send their ids. Exits with 1, and writes nothing, if one
    does not match the schema or the limits.
    """
    with needs_extra("graphql", "graphql"):
        from restwell.graphql import _documents

    server = _server()
    if server.trusted_file is None:
        raise ConfigurationError(["name the file of the trusted documents in the application: GraphQL(documents=...)"])
    texts = {str(file): _read(file) for file in _files(sources)}
    earlier = {} if prune else _documents.read_trusted(server.trusted_file)
    faults = _documents.find_faults(server.documents, {**texts, **earlier})
    if faults:
        for fault in faults:
            print(fault)
        raise typer.Exit(1)
    given = {_documents.hash_of(text): text for text in texts.values()}
    _documents.write_trusted(server.trusted_file, {**earlier, **given})
    for name, text in texts.items():
        print(f"sha256:{_documents.hash_of(text)}  {name}")


def _server() -> "GraphQLServer":
    with needs_extra("graphql", "graphql"):
        from restwell.graphql import GraphQLServer

    project, settings = load()
    app = create_app_to_inspect(project, settings)
    found = next((each for each in app.transports if isinstance(each, GraphQLServer)), None)
    if found is None:
        raise ConfigurationError(["the application has no GraphQL: add the feature restwell.graphql.GraphQL"])
    return found


def _files(sources: list[Path]) -> list[Path]:
    found = []
    for source in sources:
        found += sorted(each for each in source.rglob("*") if each.suffix in SUFFIXES) if source.is_dir() else [source]
    if not found:
        raise ConfigurationError(["no file there ends with .graphql or .gql"])
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{file}: {error}"]) from None
