"""What the command line and the server need to know of an application."""

import os
import tomllib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from restwell.app import App
from restwell.database import Database, Query
from restwell.errors import ConfigurationError
from restwell.settings import Settings

APP_VARIABLE: Final = "RESTWELL_APP"


@dataclass(frozen=True)
class Project:
    """An application as ``restwell`` finds it. ``seed`` fills a development database and may be repeated; ``load_data`` makes it as
    large as asked, and tells a function of each part; ``queries`` are what ``restwell explain`` looks at.
    """

    name: str
    settings: type[Settings]
    create_app: Callable[[Any], App]
    migrations: Path
    seed: Callable[[Database], Awaitable[str]] | None = None
    load_data: Callable[[Database, int, Callable[[int], Any]], Awaitable[str]] | None = None
    banner: Callable[[], str] = str
    queries: Callable[[], Iterable[Query[Any]]] = tuple

    def load_settings(self) -> Settings:
        """From the environment, ``.env`` and the files in ``SECRETS_DIR`` (default ``/run/secrets``)."""
        secrets_dir = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
        return self.settings.load(os.environ, env_file=Path(".env"), secrets_dir=secrets_dir)


def find_project(reference: str | None = None) -> Project:
    """The Project that ``reference`` (``module:name``), RESTWELL_APP or ``[tool.restwell] app`` in pyproject.toml names.

    Raises ConfigurationError saying where to name it. An exception of the application's own code goes through as it is.
    """
    reference = reference or named_application()
    module_name, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise ConfigurationError([f"no application at {reference}: it is named as module:name"])
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # another module, that the application imports
        raise ConfigurationError([f"no application at {reference}: {error}"]) from error
    if not hasattr(module, name):
        raise ConfigurationError([f"no application at {reference}: the module has no {name}"])
    project = getattr(module, name)
    if not isinstance(project, Project):
        raise ConfigurationError([f"{reference} is not a restwell.Project"])
    return project


def named_application() -> str:
    """``module:name``, from RESTWELL_APP or ``[tool.restwell] app`` in pyproject.toml. Raises ConfigurationError if neither is there."""
    reference = os.environ.get(APP_VARIABLE) or _from_pyproject(Path("pyproject.toml"))
    if not reference:
        raise ConfigurationError(
            [f'which application? Set {APP_VARIABLE}=module:name, or app = "module:name" under [tool.restwell]']
        )
    return reference


def _from_pyproject(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("restwell", {}).get("app")
    except OSError as error:
        raise ConfigurationError([f"{path} cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigurationError([f"{path} is not valid TOML: {error}"]) from error
    return str(found) if found else None
