"""How the application is found: by reference, environment variable or pyproject.toml, with clear errors."""

import sys
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from restwell import _project as project_module
from restwell._application import App
from restwell._project import APP_VARIABLE, Project, create_app, find_project
from restwell.errors import ConfigurationError
from restwell.observability import _logs as logs_module
from restwell.settings import Settings
from tiny.app import project

ONE_FILE = """
from restwell import Restwell
from restwell.web import get
@get("/hello")
async def hello() -> str: ...
app = Restwell(name="hello").app([hello], version="3.0.0")
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(APP_VARIABLE, raising=False)
    return tmp_path


def test_a_project_is_found_by_its_reference() -> None:
    assert find_project("tiny.app:project") is project


def test_a_project_is_found_by_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(APP_VARIABLE, "tiny.app:project")
    assert find_project() is project


def test_a_project_is_found_in_pyproject(empty_folder: Path) -> None:
    (empty_folder / "pyproject.toml").write_text('[tool.restwell]\napp = "tiny.app:project"\n')
    assert find_project() is project


def test_a_project_is_found_in_a_file_of_the_current_folder(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails unless the folder is searched: the command of an installed package does not do so by itself.

    It is searched last, so that a file named like a library does not replace it.
    """
    monkeypatch.setattr(sys, "path", [*sys.path])
    (empty_folder / "a_new_application.py").write_text("from tiny.app import project as application\n")
    assert find_project("a_new_application:application") is project
    assert sys.path[-1] == str(empty_folder)


def test_an_application_of_a_module_is_built_again_from_the_settings_of_the_process(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if each process uses the one that the import has built: a fork would share what is in it."""
    monkeypatch.syspath_prepend(empty_folder)
    (empty_folder / "one_file.py").write_text(ONE_FILE)
    found = find_project("one_file:app")
    app = found.create_app(Settings.load({"DATABASE_URL": "sqlite:///other.db", "PORT": "1234"}))
    assert (found.name, found.settings) == ("hello", Settings)
    assert (app.kit.name, app.kit.settings.port) == ("hello", 1234)
    assert (app.openapi["info"]["version"], app.routes[0].path) == ("3.0.0", "/hello")


@pytest.mark.parametrize(
    ("name", "what"), [("fixed", "was built with settings of its own"), ("wrapped", "wraps another application")]
)
def test_an_application_that_cannot_be_built_again_needs_a_project(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    monkeypatch.syspath_prepend(empty_folder)
    (empty_folder / "fixed_files.py").write_text(
        f"{ONE_FILE}from restwell.settings import Settings\n"
        "fixed = Restwell(Settings.load({})).app([hello])\nwrapped = Restwell().wrap(app)\n"
    )
    with pytest.raises(ConfigurationError, match=rf"fixed_files:{name} {what}: build it in a function, create_app"):
        find_project(f"fixed_files:{name}")


def test_a_missing_project_is_an_error_with_a_hint(empty_folder: Path) -> None:
    for text in (None, "", "[tool.other]\n"):
        if text is not None:
            (empty_folder / "pyproject.toml").write_text(text)
        with pytest.raises(ConfigurationError, match="RESTWELL_APP=module:name"):
            find_project()


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nothing.here:project", "no application at nothing.here:project"),
        ("tiny.app:missing", "no application at tiny.app:missing"),
        ("tiny.app", "no application at tiny.app"),
        (":", "no application at"),
        ("tiny.app:create_app", "is not a restwell.Project"),
    ],
)
def test_a_wrong_reference_to_the_project_is_an_error_with_its_reason(reference: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        find_project(reference)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("import nothing_of_that_name", ModuleNotFoundError),
        ("from restwell import nothing_there", ImportError),
        ("import restwell\nrestwell.nothing", AttributeError),
        ("int('x')", ValueError),
        ("'", SyntaxError),
    ],
)
def test_an_exception_in_the_application_is_raised_unchanged(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception]
) -> None:
    """Regression: the exception was reduced to one line without its location."""
    monkeypatch.syspath_prepend(empty_folder)
    (empty_folder / f"slip_{kind.__name__}.py").write_text(f"{code}\n")
    with pytest.raises(kind) as raised:
        find_project(f"slip_{kind.__name__}:project")
    assert type(raised.value) is kind


def test_an_invalid_pyproject_is_reported_in_one_line(empty_folder: Path) -> None:
    """Regression: the command printed a stack trace."""
    (empty_folder / "pyproject.toml").write_text("[tool")
    with pytest.raises(ConfigurationError, match=r"pyproject\.toml is not valid TOML"):
        find_project()


def test_a_project_loads_its_settings_from_the_environment_and_files(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "secrets").mkdir()
    (empty_folder / "secrets" / "PORT").write_text("1234")
    (empty_folder / ".env").write_text("WORKERS=7\n")
    monkeypatch.setenv("SECRETS_DIR", str(empty_folder / "secrets"))
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.delenv("WORKERS", raising=False)
    settings = project.load_settings()
    assert (settings.port, settings.workers) == (1234, 7)


def test_the_application_of_a_process_is_created_after_its_logs_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when an error of the application is not logged: the interpreter would write it, and may block."""

    def fail(_: Settings) -> App:
        events.append("created")
        raise RuntimeError("a bug")

    events: list[str] = []
    monkeypatch.setenv("DATABASE_URL", "sqlite:///a.db")
    monkeypatch.setattr(logs_module, "log", structlog.get_logger())  # another test may have configured the old one
    monkeypatch.setattr(project_module, "configure_logs", lambda _: events.append("configured"))
    monkeypatch.setattr(project_module, "find_project", lambda: Project("failing", Settings, fail))
    with capture_logs() as logs, pytest.raises(SystemExit) as exit_status:
        create_app()
    assert exit_status.value.code == 1
    assert [*events, *(line["event"] for line in logs)] == ["configured", "created", "process_failed"]
