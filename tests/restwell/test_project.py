"""Finding the application: by name, in the environment or in pyproject.toml, and a clear word where there is none."""

from pathlib import Path

import pytest

from restwell.errors import ConfigurationError
from restwell.project import VARIABLE, find_project
from tiny.app import project


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_by_name() -> None:
    assert find_project("tiny.app:project") is project


def test_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "tiny.app:project")
    assert find_project() is project


def test_in_pyproject(elsewhere: Path) -> None:
    (elsewhere / "pyproject.toml").write_text('[tool.restwell]\napp = "tiny.app:project"\n')
    assert find_project() is project


def test_nowhere(elsewhere: Path) -> None:
    for text in (None, "", "[tool.other]\n"):
        if text is not None:
            (elsewhere / "pyproject.toml").write_text(text)
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
def test_a_wrong_name_is_said(reference: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        find_project(reference)


def test_loads_its_settings_from_the_environment_and_files(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "secrets").mkdir()
    (elsewhere / "secrets" / "PORT").write_text("1234")
    (elsewhere / ".env").write_text("WORKERS=7\n")
    monkeypatch.setenv("SECRETS_DIR", str(elsewhere / "secrets"))
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.delenv("WORKERS", raising=False)
    settings = project.load_settings()
    assert (settings.port, settings.workers) == (1234, 7)
