"""``restwell new``: a project to begin with. The kit has the rest, so it does not become outdated."""

import re
import shutil
import sys
from importlib.metadata import version
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Final

import typer

from restwell._cli.templates import fill
from restwell.errors import ConfigurationError

TEMPLATE: Final = Path(__file__).with_name("_project")


def new(
    name: Annotated[str, typer.Argument(help="The name of the project and of its folder, such as bookshop.")],
    *,
    accounts: Annotated[
        bool | None, typer.Option("--accounts/--no-accounts", help="Users, sign-in and sessions. Default: no.")
    ] = None,
    postgresql: Annotated[
        bool | None, typer.Option("--postgresql/--sqlite", help="The database in production. Default: SQLite.")
    ] = None,
) -> None:
    """Create a project: a resource with its migration and tests, and the files to run, check and deploy it."""
    package = name.replace("-", "_")
    is_taken = package in {"restwell", "tests"} or package in sys.stdlib_module_names or iskeyword(package)
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name) or is_taken:
        raise ConfigurationError([f"{name} cannot be the name of a package: use one such as my-books, in lower case"])
    folder = Path(name)
    if folder.exists():
        raise ConfigurationError([f"{folder} exists already; choose another name"])
    chosen = {
        "accounts" if _answer(accounts, "Users with accounts, who sign in?") else "open",
        "postgresql" if _answer(postgresql, "PostgreSQL in production, and not SQLite?") else "sqlite",
    }
    extras = {"docs", *({"auth", "mail"} if "accounts" in chosen else ()), *({"postgresql"} & chosen)}
    values = {"name": name, "package": package, "extras": ",".join(sorted(extras)), "version": version("restwell")}
    try:
        for path, text in fill(TEMPLATE, values, chosen).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigurationError([f"{folder} cannot be written: {error.strerror}"]) from error
    print(f"{folder} is made. Next: cd {folder} && make run, or make test")


def _answer(given: bool | None, question: str) -> bool:  # noqa: FBT001  # the value of a flag
    """The flag, or the answer on a terminal, or no."""
    if given is not None or not sys.stdin.isatty():
        return bool(given)
    return typer.confirm(question)
