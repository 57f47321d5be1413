"""Where the documents come from: each that cannot be read is one clear line."""

import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restwell._cli import openapi_sources
from restwell._cli.openapi_sources import checked, last_release, pair_documents, read_documents, version_name
from restwell.errors import ConfigurationError
from servers import free_port

DOCUMENT = {"openapi": "3.1.0", "paths": {}}
TEXT = json.dumps(DOCUMENT).encode()
Answer = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Answers one request, as no HTTP server would."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(answer: Answer) -> str:
        def run() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                answer(connection)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/openapi.json"

    yield start
    for thread in threads:
        thread.join()
    listener.close()


def fault_of(source: str, snapshot: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read_documents(source, snapshot, None)
    (fault,) = refused.value.faults
    return fault


def test_a_document_is_read_from_a_file_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(TEXT)
    assert read_documents(str(tmp_path / "a"), None, None) == {"": DOCUMENT}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))
    assert read_documents("-", None, None) == {"": DOCUMENT}


def test_a_document_is_read_from_a_url(serve: Callable[[Answer], str]) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(TEXT)}\r\n\r\n".encode()
    assert read_documents(serve(lambda connection: connection.sendall(head + TEXT)), None, None) == {"": DOCUMENT}


@pytest.mark.slow
def test_a_server_that_sends_forever_is_left(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without the deadline of the whole document: each byte is in time."""
    monkeypatch.setattr(openapi_sources, "MAX_SECONDS", 0.3)

    def send_slowly(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        ends_at = time.monotonic() + 5
        try:
            while time.monotonic() < ends_at:
                connection.sendall(b" ")
                time.sleep(0.05)
        except OSError:
            return

    assert "not finished after 0.3 s" in fault_of(serve(send_slowly))


def test_a_document_without_end_is_refused(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks when the response is read whole before its size is checked."""
    monkeypatch.setattr(openapi_sources, "MAX_BYTES", 100_000)

    def send_forever(connection: socket.socket) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b" " * 65_536)
        except OSError:
            return

    assert fault_of(serve(send_forever)).endswith("larger than 100,000 bytes")


def test_what_cannot_be_fetched_is_one_line(serve: Callable[[Answer], str]) -> None:
    assert "Connection refused" in fault_of(f"http://127.0.0.1:{free_port()}/")
    assert "404" in fault_of(serve(lambda connection: connection.sendall(b"HTTP/1.1 404 No\r\n\r\n")))
    assert fault_of("http://[").startswith("http://[: ")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"not JSON", "a: not JSON: JSON is malformed"),
        (b"[" * 100_000, "a: nested too deeply"),
        (b"\xff", "a: not JSON: "),
        (b'{"openapi": "3.1.0"}', "a: paths is missing"),
    ],
)
def test_what_is_no_document_is_one_line(content: bytes, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked(content, "a")
    (found,) = refused.value.faults
    assert found.startswith(fault)


def test_at_most_twenty_faults_of_a_document_are_told() -> None:
    paths: dict[str, Any] = {f"/{number}": {"head": {}} for number in range(30)}
    with pytest.raises(ConfigurationError) as refused:
        checked(json.dumps({"openapi": "3.1.0", "paths": paths}).encode(), "a")
    assert (len(refused.value.faults), refused.value.faults[-1]) == (21, "a: and more")


def test_a_source_that_is_nothing_says_what_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fault_of("missing.json") == "missing.json: no such file"
    assert "set openapi =" in fault_of("v1.0.0")
    assert fault_of("--upload-pack=x", "openapi.json") == "--upload-pack=x: no file, URL or git revision"
    assert "not a git repository" in fault_of("v1.0.0", "openapi.json")
    with pytest.raises(ConfigurationError, match="not a git repository"):
        last_release()
    (tmp_path / "locked").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fault_of("v1.0.0", "openapi.json") == "git cannot run: No such file or directory"


def test_a_git_that_hangs_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that asks for a password, or waits for a lock."""
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(openapi_sources, "MAX_SECONDS", 0.2)
    assert fault_of("v1.0.0", "openapi.json") == "git rev-parse did not finish in 0.2 s"


def test_each_version_is_compared_with_itself() -> None:
    """Breaks when a version that was removed, or the first one of a new version, is left out."""
    one, other, empty = {"n": 1}, {"n": 2}, {"openapi": "3.1.0", "paths": {}}
    pairs = pair_documents(("old", {"v1": one, "v2": one}), ("new", {"v2": other, "v3": other}))
    assert pairs == [(one, empty), (one, other), (empty, other)]
    assert pair_documents(("old", {"": one}), ("new", {"v1": other})) == [(one, other)]
    with pytest.raises(ConfigurationError, match="new has v1, v2: choose one with --version"):
        pair_documents(("old", {"": one}), ("new", {"v1": one, "v2": other}))
    with pytest.raises(ConfigurationError, match="old has no version"):
        pair_documents(("old", {}), ("new", {"": one}))
    assert version_name("/api/v1") == "api-v1"
