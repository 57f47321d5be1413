"""``restwell api``: the changes of the API that break clients, and who uses what is deprecated."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from restwell._api._changes import Change, Level, merged
from restwell._api._report import as_changelog, as_comment, as_json, summary, title
from restwell._cli.api_usage import usage
from restwell._cli.loading import create_app_to_inspect, load
from restwell._cli.openapi_sources import (
    Documents,
    checked,
    is_shallow,
    last_release,
    pair_documents,
    read_documents,
    read_snapshots,
    snapshot_path,
    version_name,
)
from restwell.errors import ConfigurationError

EXIT_BREAKING: Final = 1

commands: Final = typer.Typer(
    no_args_is_help=True, help="Find changes that break clients, and who uses what is deprecated."
)
commands.command()(usage)

_COLORS: Final = {Level.BREAKING: "red", Level.RISKY: "yellow", Level.SAFE: "green"}


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


_Old = Annotated[
    str | None,
    typer.Argument(help="A file, -, a URL or a git revision. Without it: the last tag.", show_default=False),
]
_New = Annotated[
    str | None,
    typer.Argument(help="A file, -, a URL or a git revision. Without it: the application.", show_default=False),
]
_Version = Annotated[
    str | None, typer.Option(help="The prefix of the version, such as /v1. Without it: every version.")
]
_Snapshot = Annotated[
    str | None,
    typer.Option(help="The path of the documents in a git revision. Without it: openapi in pyproject.toml."),
]


@commands.command()
def diff(
    old: _Old = None,
    new: _New = None,
    *,
    version: _Version = None,
    snapshot: _Snapshot = None,
    strict: Annotated[bool, typer.Option("--strict", help="Risky changes fail too.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How the changes are written.")] = Format.TEXT,
) -> None:
    """List the changes by what they break. The exit code is 1 if one is breaking."""
    changes = _compare(old, new, version, snapshot)
    if changes is None:
        return
    if output is Format.JSON:
        sys.stdout.buffer.write(as_json(changes) + b"\n")
    elif output is Format.MARKDOWN:
        print(as_comment(changes))
    else:
        _print(changes)
    failing = {Level.BREAKING, Level.RISKY} if strict else {Level.BREAKING}
    if any(change.level in failing for change in changes):
        raise SystemExit(EXIT_BREAKING)


@commands.command()
def changelog(old: _Old = None, new: _New = None, *, version: _Version = None, snapshot: _Snapshot = None) -> None:
    """Write the changes as Markdown for the users of the API."""
    changes = _compare(old, new, version, snapshot)
    if changes is not None:
        print(as_changelog(changes))


def _compare(old: str | None, new: str | None, version: str | None, snapshot: str | None) -> list[Change] | None:
    """The changes, or None without anything to compare with."""
    from restwell._api._operations import compare_documents

    source, before = _last_documents(version, snapshot) if old is None else _documents_of(old, version, snapshot)
    if not before:
        return None
    after = documents_of_application(version) if new is None else read_documents(new, snapshot, version)
    pairs = pair_documents((source, before), (new or "the application", after))
    now = datetime.now(UTC)
    return merged(change for pair in pairs for change in compare_documents(*pair, now))


def _documents_of(source: str, version: str | None, snapshot: str | None) -> tuple[str, Documents]:
    documents = read_documents(source, snapshot, version)
    if not documents:
        raise ConfigurationError([f"{source} has no snapshot {snapshot_path(snapshot)}"])
    return source, documents


def _last_documents(version: str | None, snapshot: str | None) -> tuple[str, Documents]:
    """Those of the last release. Before the first one, those of the folder; standard error says so."""
    release = last_release()
    if release is not None and (documents := read_documents(release, snapshot, version)):
        return release, documents
    path = snapshot_path(snapshot)
    fault = f"{release} has no snapshot {path}" if release is not None else "the repository has no tag"
    documents = read_snapshots(snapshot, version)
    instead = f"compared with {path} in this folder" if documents else f"nothing was compared: there is no {path}"
    hint = ". This clone is shallow: git fetch --unshallow --tags gets its tags" if is_shallow() else ""
    print(f"no release to compare with, because {fault}{hint}; {instead}", file=sys.stderr)
    return path, documents


def documents_of_application(version: str | None) -> Documents:
    project, settings = load()
    documents = create_app_to_inspect(project, settings).documents
    if version is not None and version not in documents:
        raise ConfigurationError([f"--version {version}: choose one of {', '.join(documents)}"])
    return {
        version_name(prefix): checked(msgspec.json.encode(document), f"the application, {prefix}")
        for prefix, document in documents.items()
        if version in {None, prefix}
    }


def _print(changes: Sequence[Change]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 1_000_000, highlight=False)
    for change in changes:
        console.print(Text.assemble((f"{change.level:<8}", _COLORS[change.level]), f"  {title(change)}"))
        for line in filter(None, (change.consequence, change.cure)):
            console.print(Text(f"          {line}"))
    print(summary(changes))
