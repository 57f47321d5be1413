"""Reads the OpenAPI documents that are compared: from a file, standard input, a URL or a git revision."""

import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec

from restwell._api._documents import faults_of
from restwell.errors import ConfigurationError

Document = Mapping[str, Any]
Documents = Mapping[str, Document]
"""By the name of the version."""

ANY_VERSION: Final = ""
"""The key of a document of which only the sender knows the version."""
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_SECONDS: Final = 30
SOCKET_SECONDS: Final = 10
MAX_FAULTS: Final = 20
_CHUNK_BYTES: Final = 64 * 1024


def read_documents(source: str, snapshot: str | None, version: str | None) -> Documents:
    """The document at a file, ``-`` or an http(s) URL, or the snapshots of a git revision, which may have none.

    Raises ConfigurationError for what cannot be read, and for each part that the comparison does not cover.
    """
    if source == "-":
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif source.startswith(("http://", "https://")):
        content = _read_url(source)
    elif (path := Path(source)).is_file():
        content = _read_file(path)
    elif path.suffix in {".json", ".yaml", ".yml"}:
        raise ConfigurationError([f"{source}: no such file"])
    else:
        return _read_revision(source, snapshot, version)
    return {ANY_VERSION: checked(content, source)}


def read_snapshots(snapshot: str | None, version: str | None) -> Documents:
    """The snapshots in the current folder."""
    path = snapshot_path(snapshot)
    folder = Path(_folder_of(path))
    names = sorted(map(str, folder.iterdir())) if folder.is_dir() else []
    return {key: checked(_read_file(Path(name)), name) for key, name in _snapshots_in(names, path, version)}


def pair_documents(old: tuple[str, Documents], new: tuple[str, Documents]) -> list[tuple[Document, Document]]:
    """The documents of each version. A version that only one side has is compared with no operations.

    Raises ConfigurationError if one side is a single document and the other has several versions.
    """
    before, after = old[1], new[1]
    if ANY_VERSION not in {*before, *after}:
        empty: Document = {"openapi": "3.1.0", "paths": {}}
        return [(before.get(version, empty), after.get(version, empty)) for version in {**before, **after}]
    for source, documents in (old, new):
        if len(documents) != 1:
            versions = ", ".join(documents) or "no version"
            raise ConfigurationError(
                [f"{source} has {versions}: choose one with --version, or put {{version}} in the snapshots' path"]
            )
    ((one,), (other,)) = before.values(), after.values()
    return [(one, other)]


def version_name(prefix: str) -> str:
    """The name of a version in the path of its snapshot: ``v1`` for ``/v1``, ``api-v1`` for ``/api/v1``."""
    return prefix.strip("/").replace("/", "-")


def snapshot_path(snapshot: str | None) -> str:
    """The path of the snapshots. ``{version}`` in it is the name of a version."""
    from restwell._project import configured

    path = snapshot or configured("openapi")
    if path is None:
        advice = 'set openapi = "path" under [tool.restwell] in pyproject.toml, or --snapshot'
        raise ConfigurationError([f"to read the snapshot of a git revision, {advice}"])
    return path


def checked(content: bytes, source: str) -> Document:
    if len(content) > MAX_BYTES:
        raise ConfigurationError([f"{source}: larger than {MAX_BYTES:,} bytes"])
    try:
        document: Any = msgspec.json.decode(content)
        faults = list(islice(faults_of(document), MAX_FAULTS + 1))
    except msgspec.DecodeError as error:
        raise ConfigurationError([f"{source}: not JSON: {error}"]) from None
    except RecursionError:
        raise ConfigurationError([f"{source}: nested too deeply"]) from None
    if faults:
        lines = [f"{source}: {fault.removeprefix(': ')}" for fault in faults[:MAX_FAULTS]]
        raise ConfigurationError([*lines, *([f"{source}: and more"] if len(faults) > MAX_FAULTS else [])])
    result: Document = document
    return result


def last_release() -> str | None:
    """The newest tag that HEAD descends from. None if there is none. Raises ConfigurationError outside of git."""
    _git("rev-parse", "--git-dir")
    found = _run_git("describe", "--tags", "--abbrev=0")
    return found.stdout.decode().strip() if found.returncode == 0 else None


def is_shallow() -> bool:
    return _git("rev-parse", "--is-shallow-repository").strip() == b"true"


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error


def _read_url(url: str) -> bytes:
    """Read at most MAX_BYTES within MAX_SECONDS, however slowly the server sends."""
    ends_at = time.monotonic() + MAX_SECONDS
    received = bytearray()
    try:
        response: HTTPResponse
        with urlopen(url, timeout=SOCKET_SECONDS) as response:  # noqa: S310  # the caller has checked the scheme
            while len(received) <= MAX_BYTES and (chunk := response.read1(_CHUNK_BYTES)):
                received += chunk
                if time.monotonic() > ends_at:
                    raise TimeoutError(f"not finished after {MAX_SECONDS} s")
    except (HTTPException, OSError, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise ConfigurationError([f"{url}: {' '.join(str(error).split()) or type(error).__name__}"]) from None
    return bytes(received)


def _read_revision(revision: str, snapshot: str | None, version: str | None) -> Documents:
    """The snapshots in a git revision. Their path is relative to the current folder."""
    if revision.startswith("-"):
        raise ConfigurationError([f"{revision}: no file, URL or git revision"])
    path = snapshot_path(snapshot)
    if _run_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode:
        _git("rev-parse", "--git-dir")
        hint = "; this clone is shallow: run git fetch --unshallow --tags" if is_shallow() else ""
        raise ConfigurationError([f"{revision}: no file, URL or git revision{hint}"])
    folder = _folder_of(path)
    names = _git("ls-tree", "-z", "--name-only", revision, f"./{folder}/" if folder else "./").decode().split("\0")
    return {
        key: checked(_git("show", f"{revision}:./{name}"), f"{revision}:{name}")
        for key, name in _snapshots_in(names, path, version)
    }


def _folder_of(path: str) -> str:
    return path.partition("{version}")[0].rpartition("/")[0]


def _snapshots_in(names: Iterable[str], path: str, version: str | None) -> Iterator[tuple[str, str]]:
    """The name of the version, and the path, of each snapshot in ``names``."""
    pattern = re.compile(re.escape(path).replace(re.escape("{version}"), "([^/]+)"))
    for match in filter(None, map(pattern.fullmatch, names)):
        key = match[1] if pattern.groups else ANY_VERSION
        if key == ANY_VERSION or version is None or key == version_name(version):
            yield key, match[0]


def _git(*arguments: str) -> bytes:
    done = _run_git(*arguments)
    if done.returncode:
        raise ConfigurationError(
            [f"git {' '.join(arguments)}: {' '.join(done.stderr.decode(errors='replace').split())}"]
        )
    return done.stdout


def _run_git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, timeout=MAX_SECONDS, check=False)  # noqa: S603, S607  # the git of the user
    except OSError as error:
        raise ConfigurationError([f"git cannot run: {error.strerror}"]) from error
    except subprocess.TimeoutExpired:
        raise ConfigurationError([f"git {arguments[0]} did not finish in {MAX_SECONDS} s"]) from None
