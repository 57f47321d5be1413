"""``restwell graphql``: the schema, and the trusted documents."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from graphql_app import create_app
from restwell import App
from restwell._cli import graphql
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from tiny.app import create_app as create_without

BOOK = "query One { book(bookId: 1) { id } }"
BOOKS = "{ books { nodes { id } } }"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tiny_settings: Settings) -> Any:
    """Makes an application the one of the commands."""

    def set_app(app: App) -> None:
        monkeypatch.setattr(graphql, "load", lambda: (None, tiny_settings))
        monkeypatch.setattr(graphql, "create_app_to_inspect", lambda *_: app)

    return set_app


def test_documents_are_added_and_those_of_earlier_releases_stay(
    use: Any, tiny_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if a document of a client in use is lost, or if one that the schema has not is written."""
    file, sources = tmp_path / "documents.json", tmp_path / "client"
    sources.mkdir()
    (sources / "one.graphql").write_text(BOOK)
    (sources / "notes.txt").write_text("no document")
    use(create_app(tiny_settings, documents=file))
    graphql.persist([sources])
    printed = capsys.readouterr().out
    assert set(json.loads(file.read_text()).values()) == {BOOK}
    (identifier,) = json.loads(file.read_text())
    assert printed == f"sha256:{identifier}  {sources / 'one.graphql'}\n"

    (sources / "one.graphql").write_text(BOOKS)
    graphql.persist([sources / "one.graphql"])
    assert set(json.loads(file.read_text()).values()) == {BOOK, BOOKS}

    before = file.read_text()
    (sources / "two.gql").write_text("{ nothing }")
    capsys.readouterr()
    with pytest.raises(typer.Exit) as ended:
        graphql.persist([sources])
    assert (ended.value.exit_code, file.read_text()) == (1, before)
    assert capsys.readouterr().out == f"{sources / 'two.gql'}: Query has no field nothing.\n"
    (sources / "two.gql").unlink()
    graphql.persist([sources], prune=True)
    assert set(json.loads(file.read_text()).values()) == {BOOKS}


def test_a_schema_that_breaks_a_document_of_an_earlier_release_is_found(
    use: Any, tiny_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if documents of earlier releases are not checked: clients in use would break."""
    file = tmp_path / "documents.json"
    (tmp_path / "guess.graphql").write_text('{ guess(word: "a") }')
    (tmp_path / "book.graphql").write_text(BOOK)
    use(create_app(tiny_settings, documents=file))
    graphql.persist([tmp_path / "guess.graphql"])
    (identifier,) = json.loads(file.read_text())
    use(create_app(tiny_settings, documents=file, queries={"book": "get_book"}, relations=[], mutations={}))
    capsys.readouterr()
    with pytest.raises(typer.Exit):
        graphql.persist([tmp_path / "book.graphql"])
    assert capsys.readouterr().out == f"{identifier}: Query has no field guess.\n"


def test_the_schema_is_printed(use: Any, tiny_settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    use(create_app(tiny_settings))
    graphql.schema()
    assert "type Query {\n" in capsys.readouterr().out


def test_each_fault_is_one_line(use: Any, tiny_settings: Settings, tmp_path: Path) -> None:
    use(create_without(tiny_settings))
    with pytest.raises(ConfigurationError, match="the application has no GraphQL"):
        graphql.schema()
    use(create_app(tiny_settings))
    with pytest.raises(ConfigurationError, match=r"GraphQL\(documents=...\)"):
        graphql.persist([tmp_path])
    use(create_app(tiny_settings, documents=tmp_path / "documents.json"))
    with pytest.raises(ConfigurationError, match="no file there ends with"):
        graphql.persist([tmp_path])
    with pytest.raises(ConfigurationError, match=r"missing\.graphql"):
        graphql.persist([tmp_path / "missing.graphql"])
