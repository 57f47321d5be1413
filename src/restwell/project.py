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

VARIABLE: Final = "RESTWELL_APP"


@dataclass(frozen=True)
class Project:
    """An application as ``restwell`` finds it. ``seed`` fills a development database and may be repeated; ``enlarge`` makes it as
    large as asked, and tells a function of each part; ``queries`` are what ``restwell explain`` looks at.
    """

    name: str
    settings: type[Settings]
    create_app: Callable[[Any], App]
    migrations: Path
    seed: Callable[[Database], Awaitable[str]] | None = None
    enlarge: Callable[[Database, int, Callable[[int], Any]], Awaitable[str]] | None = None
    welcome: Callable[[], str] = str
    queries: Callable[[], Iterable[Query[Any]]] = tuple

    def load_settings(self) -> Settings:
        """From the environment, ``.env`` and the files in ``SECRETS_DIR`` (default ``/run/secrets``)."""
        secrets_dir = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
        return self.settings.load(os.environ, env_file=Path(".env"), secrets_dir=secrets_dir)


def find_project(reference: str | None = None) -> Project:
    """The Project that ``reference`` (``module:name``), RESTWELL_APP or ``[tool.restwell] app`` in pyproject.toml names.

    Raises ConfigurationError saying where to name it.
    """
    reference = reference or os.environ.get(VARIABLE) or _from_pyproject(Path("pyproject.toml"))
    if not reference:
        raise ConfigurationError(
            [f'which application? Set {VARIABLE}=module:name, or app = "module:name" under [tool.restwell]']
        )
    module_name, _, name = reference.partition(":")
    try:
        project = getattr(import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError([f"no application at {reference}: {error}"]) from error
    if not isinstance(project, Project):
        raise ConfigurationError([f"{reference} is not a restwell.Project"])
    return project


def _from_pyproject(path: Path) -> str | None:
    if not path.is_file():
        return None
    found = tomllib.loads(path.read_text()).get("tool", {}).get("restwell", {}).get("app")
    return str(found) if found else None
