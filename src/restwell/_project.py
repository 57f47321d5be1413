"""The description of an application for the command line and the server, and how it is found."""

import os
import sys
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final

from restwell._application import App
from restwell._settings_files import ENV_FILE, Source, read_sources, secrets_dir
from restwell.database import Database
from restwell.errors import ConfigurationError
from restwell.observability._logs import configure_logs, log_fatal_errors
from restwell.settings import Settings

APP_VARIABLE: Final = "RESTWELL_APP"


@dataclass(frozen=True)
class Project:
    """An application for the ``restwell`` command.

    ``seed`` fills a development database with demo data and is idempotent. ``load_data`` adds a number of rows and
    reports its progress to a callback. ``banner`` is printed by ``restwell dev``.
    """

    name: str
    settings: type[Settings]
    create_app: Callable[[Any], App]
    seed: Callable[[Database], Awaitable[str]] | None = None
    load_data: Callable[[Database, int, Callable[[int], Any]], Awaitable[str]] | None = None
    banner: Callable[[], str] = str

    def __post_init__(self) -> None:
        settings: object = self.settings
        create_app: object = self.create_app
        if not (isinstance(settings, type) and issubclass(settings, Settings)):
            raise TypeError(f"Project {self.name}: settings must be the class Settings or one derived from it")
        if not callable(create_app) or iscoroutinefunction(create_app):
            raise TypeError(f"Project {self.name}: create_app must be a function of the settings, without async")

    def load_settings(self) -> Settings:
        """Read the environment, ``.env`` and the files in ``SECRETS_DIR`` (default ``/run/secrets``)."""
        return self.settings.load(os.environ, env_file=ENV_FILE, secrets_dir=secrets_dir())


def setting_sources(project: Project) -> list[Source]:
    """The values of the settings as text, by their source; a source overrides those before it."""
    names = {"_".join(path).upper() for path in project.settings.paths()}
    return read_sources(os.environ, ENV_FILE, secrets_dir(), names)[0]


def find_project(reference: str | None = None) -> Project:
    """The Project named by ``reference`` (``module:name``), RESTWELL_APP or ``[tool.restwell] app`` in pyproject.toml.

    It may also name the result of ``kit.app``. The module is installed, or in the current folder. Raises
    ConfigurationError if it is missing. An exception of the application's code is raised unchanged.
    """
    reference = reference or named_application()
    module_name, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        meant = reference.removesuffix(":").removesuffix(".py").replace(".py:", ":").replace("/", ".")
        hint = f"; did you mean {meant if ':' in meant else f'{meant}:project'}?" if meant.strip(":.") else ""
        raise ConfigurationError([f"no application at {reference}: use the form module:name{hint}"])
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)  # last, so that its files replace no library
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the application imports
        if module_name.endswith(".py"):
            hint = f"did you mean {module_name.removesuffix('.py')}:{name}?"
        else:
            here = [
                path.stem for path in Path.cwd().iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
            ]
            similar = get_close_matches(module_name, here, 1)
            hint = f"did you mean {similar[0]}:{name}?" if similar else f"it is not installed, and not in {Path.cwd()}"
        raise ConfigurationError([f"no application at {reference}: {error}; {hint}"]) from error
    projects = [each for each, value in vars(module).items() if isinstance(value, Project | App)]
    hint = f"did you mean {module_name}:{projects[0]}?" if projects else f"write {name} = Project(...) there"
    if not hasattr(module, name):
        raise ConfigurationError([f"no application at {reference}: the module has no {name}; {hint}"])
    found = getattr(module, name)
    if isinstance(found, App):
        return _project_of(found, reference)
    if not isinstance(found, Project):
        raise ConfigurationError([f"{reference} is not a restwell.Project or the result of kit.app(...); {hint}"])
    return found


def _project_of(app: App, reference: str) -> Project:
    """The project of an application that a module has built: each process builds it again, from its own settings."""
    kit, build_again = app.kit, app.build_again
    if build_again is None or not kit.reads_environment:
        what = "wraps another application" if build_again is None else "was built with settings of its own"
        raise ConfigurationError(
            [f"{reference} {what}: build it in a function, create_app(settings), and name that in a Project"]
        )
    return Project(name=kit.name, settings=Settings, create_app=build_again)


def create_app() -> App:
    """Create the application of this process from its environment. Its logs are configured first.

    An exception of the application's code ends the process as ``process_failed``.
    """
    project = find_project()
    settings = project.load_settings()
    configure_logs(settings.log)
    with log_fatal_errors():
        return project.create_app(settings)


def named_application() -> str:
    """``module:name`` of RESTWELL_APP or of pyproject.toml. Raises ConfigurationError if neither is set."""
    reference = os.environ.get(APP_VARIABLE) or configured("app")
    if not reference:
        raise ConfigurationError(
            [f'no application configured: set {APP_VARIABLE}=module:name, or app = "module:name" under [tool.restwell]']
        )
    return reference


def configured(key: str, path: Path = Path("pyproject.toml")) -> str | None:
    """The value of a key of ``[tool.restwell]`` in pyproject.toml of the current folder."""
    if not path.is_file():
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("restwell", {}).get(key)
    except OSError as error:
        raise ConfigurationError([f"{path} cannot be read: {error.strerror}"]) from error
    except ValueError as error:
        raise ConfigurationError([f"{path} is not valid TOML: {error}"]) from error
    return str(found) if found else None
