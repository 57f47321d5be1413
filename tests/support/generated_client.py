"""Python clients that ``restwell client python`` writes, imported by the test that wrote them."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from restwell._client._folder import write_files
from restwell._client._python import write_python
from restwell._client._reader import read_api


def decoded(document: object) -> dict[str, Any]:
    """The document as it is read from a file."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def generated_client(folder: Path, document: Mapping[str, Any]) -> Any:
    """The package, in a folder of a name of its own, so that no other client is taken for it."""
    name = f"client_{uuid4().hex}"
    write_files(folder / name, write_python(read_api(document)))
    return imported(folder, name)


def imported(folder: Path, name: str) -> Any:
    """A module or package of a folder."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
