"""``restwell client``: the document that a client is written from."""

import json
from pathlib import Path
from typing import Any

import pytest

from restwell._cli.client import described_api, python
from restwell.errors import ConfigurationError

DOCUMENT: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": "one"}, "paths": {}}


def test_a_client_is_of_one_document(tmp_path: Path) -> None:
    file = tmp_path / "v1.json"
    file.write_text(json.dumps(DOCUMENT))
    assert described_api(str(file), None, None).title == "one"
    with pytest.raises(ConfigurationError, match=r"v1.json is one document: leave out --version"):
        described_api(str(file), "/v1", None)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [({"v1": DOCUMENT, "v2": DOCUMENT}, "choose a version with --version: /v1, /v2"), ({}, "main has no snapshot a/b")],
)
def test_another_number_of_documents_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], sentence: str
) -> None:
    monkeypatch.setattr("restwell._cli.client.read_documents", lambda *_: found)
    with pytest.raises(ConfigurationError, match=sentence):
        described_api("main", None, "a/b")


def test_the_name_of_the_folder_is_that_of_the_package(tmp_path: Path) -> None:
    for name in ("shop-client", "class"):
        with pytest.raises(ConfigurationError, match=f"{name} cannot be the name of a Python package, such as shop_"):
            python(tmp_path / name)
