"""``restwell new``: a project to begin with. The kit has the rest, so it does not become outdated."""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Final

import typer

from restwell.errors import ConfigurationError

TEMPLATE: Final = Path(__file__).with_name("_project")
_CONDITION: Final = re.compile(r"%(\w+) (.*)", re.DOTALL)


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
        for file in sorted(TEMPLATE.rglob("*.txt")):
            target = folder / _target(file.relative_to(TEMPLATE), package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled(file.read_text(encoding="utf-8"), values, chosen), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigurationError([f"{folder} cannot be written: {error.strerror}"]) from error
    print(f"{folder} is made. Next: cd {folder} && make run, or make test")


def _answer(given: bool | None, question: str) -> bool:  # noqa: FBT001  # the value of a flag
    """The flag, or the answer on a terminal, or no."""
    if given is not None or not sys.stdin.isatty():
        return bool(given)
    return typer.confirm(question)


def _target(path: Path, package: str) -> Path:
    parts = [package if part == "package" else part.removeprefix("dot") for part in path.parts]
    return Path(*parts[:-1], parts[-1].removesuffix(".txt"))


def _filled(text: str, values: dict[str, str], chosen: set[str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return "".join(_lines(text, chosen))


def _lines(text: str, chosen: set[str]) -> Iterator[str]:
    for line in text.splitlines(keepends=True):
        condition = _CONDITION.fullmatch(line)
        if condition is None:
            yield line
        elif condition[1] in chosen:
            yield condition[2]
