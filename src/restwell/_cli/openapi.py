"""``restwell openapi``: the document of the API."""

import sys
from typing import Annotated

import msgspec
import typer

from restwell._cli.loading import create_app_to_inspect, load
from restwell.errors import ConfigurationError


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
