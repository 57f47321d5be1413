"""Code is formatted before it is written into a project."""

import sys
from pathlib import Path

import pytest

from restwell._cli.project_code import formatted
from restwell.errors import ConfigurationError
from servers import restwell

pytestmark = pytest.mark.integration

CODE = "import os\nfrom bookshop.notes import notes\nfrom sqlalchemy import Table\nparts = [Table,notes]"


def test_imports_are_sorted_and_those_that_are_not_used_removed() -> None:
    """Fails if the package of the project counts as a library while its files are missing."""
    assert formatted(Path("bookshop/app.py"), CODE, "bookshop") == (
        "from sqlalchemy import Table\n\nfrom bookshop.notes import notes\n\nparts = [Table, notes]\n"
    )


def test_code_that_cannot_be_parsed_and_a_missing_ruff_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"ruff cannot .* bookshop/app\.py"):
        formatted(Path("bookshop/app.py"), "parts = [", "bookshop")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="pip install ruff"):
        formatted(Path("bookshop/app.py"), CODE, "bookshop")


def test_an_application_that_ruff_does_not_format_keeps_its_form(tmp_path: Path) -> None:
    """Fails if the whole file is formatted for one more part."""
    restwell("new", "bookshop", cwd=tmp_path).check_returncode()
    app = tmp_path / "bookshop/bookshop/app.py"
    code = app.read_text()
    app.write_text(code + "x  = 1\n")
    restwell("generate", "job", "send_digest", cwd=tmp_path / "bookshop").check_returncode()
    added = app.read_text()
    assert added.endswith("x  = 1\n")
    assert "[notes, send_digest.feature]" in added
    assert "import metadata\nfrom bookshop import send_digest\n" in added
