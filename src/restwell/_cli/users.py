"""``restwell users``: accounts that operators add, such as the first admin."""

import asyncio
import sys
from typing import Annotated, Final

import typer

from restwell._cli.loading import create_app, load
from restwell._extras import needs_extra
from restwell.errors import AppError, ConfigurationError

commands: Final = typer.Typer(no_args_is_help=True, help="Add accounts, such as the first admin.")


@commands.callback()
def users() -> None:
    """Add accounts, such as the first admin."""


@commands.command()
def add(
    email: Annotated[str, typer.Argument(help="The address, which counts as verified.")],
    role: Annotated[str | None, typer.Option(help="A role of the application. Default: that of new accounts.")] = None,
    name: Annotated[str | None, typer.Option(help="Default: the part of the address before the @.")] = None,
) -> None:
    """Add an account. Asks for its password, or reads it from standard input.

    Without the part passwords, the user signs in with an identity provider that has verified the address.
    """
    project, settings = load()
    app = create_app(project, settings)
    with needs_extra("auth", "restwell users"):
        from restwell.accounts._seed import account_options, add_user
    password = _read_password() if account_options(app).by_password else None

    async def run() -> None:
        await app.kit.start()
        try:
            await app.migrations.check(app.kit.database)
            await add_user(app, email, name or email.partition("@")[0], password, role)
        except AppError as error:
            faults = [f"{each.path}: {each.message}" for each in error.errors]
            raise ConfigurationError(faults or [error.detail]) from None
        finally:
            await app.kit.close()

    asyncio.run(run())
    print(f"added: {email}")


def _read_password() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")
