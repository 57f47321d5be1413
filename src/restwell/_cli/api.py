"""``restwell api``: the life of the versions of the API."""

from typing import Final

import typer

from restwell._cli.api_usage import usage

commands: Final = typer.Typer(no_args_is_help=True, help="Show who uses what is deprecated.")
commands.command()(usage)
