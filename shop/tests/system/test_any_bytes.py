"""Fuzzed bytes on real connections: request lines, framing and connection handling."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from fuzzing import MARK, fuzz
from mutations import Choices, from_choices, mutated
from processes import children_of
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serve

GOOD: Final = (
    b"GET /v1/products?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/products HTTP/1.0\r\n\r\n",
    b"HEAD /health/live HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    (
        b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n"
        b'\r\n{"email": "a"'
    ),
    (
        b"POST /v1/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nT: x\r\n\r\n"
    ),
    (
        b"POST /v1/oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 3\r\n\r\na=b"
    ),
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    (
        b"GET http://a/v1/products/x HTTP/1.1\r\nHost: b\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    ),
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nExpect: 100-continue\r\n\r\n",
    (
        b"GET /v1/products HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
)
LINES: Final = (
    *(b"Content-Length: 5", b"Content-Length: +2", b"Content-Length: 99999999999999999999", b"Content-Length: -1",
    b"Content-Length: 2, 2"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\x0bchunked"),
    *(b"Host: b", b"Host:", b" folded", b"\x00: a", b": a", b"No-Colon", b"A: \x00", b"A: \xff", b"\xff: a",
    b"Connection: close, close"),
    *(b"Expect: 100-continue", b"Expect: x", b"X: " + b"y" * 70_000, b"\r\n".join([b"X: y"] * 150), b"Trailer: Host",
    b"TE: trailers"),
)  # fmt: skip
END: Final = b"\r\n\r\nGET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""Completes an incomplete request; after a complete one it is a separate request."""
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
QUIET_SECONDS: Final = 0.02
LIVE_SECONDS: Final = 0.5
"""Timeout of the other connection on a busy machine. A blocked worker takes longer."""
SMALL: Final = 150
FULL: Final = 5_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shop")
    settings = {"DATABASE_URL": f"sqlite:///{folder / 'shop.db'}", "RESTWELL_APP": "shop.app:shop", "WORKERS": "1"}
    settings["KEEPALIVE_SECONDS"] = "60"  # a busy machine may leave a connection idle for the default of ten
    restwell("migrate", cwd=folder, **settings).check_returncode()
    with serve(folder, RESTWELL, "serve", cwd=folder, **settings) as served:
        yield served


def bytes_of(choose: Choices) -> bytes:
    """Up to three requests on one connection, some of them mutated."""
    said = b""
    for _ in range(choose.of((1, 1, 1, 2, 3))):
        one = choose.of(GOOD)
        if choose.below(3):
            first, end, rest = one.partition(b"\r\n")
            one = first + end + b"".join(choose.of(LINES) + b"\r\n" for _ in range(choose.of((1, 1, 2, 3)))) + rest
        if choose.below(3):
            one = mutated(choose, one)
        said += one
    return said


class Connection:
    """A connection for concurrent valid requests."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def close(self) -> None:
        self._socket.close()

    def ask(self) -> float:
        """The seconds until the response."""
        start = time.monotonic()
        self._socket.sendall(LIVE)
        found = b""
        while b"}" not in found:
            piece = self._socket.recv(65_536)
            assert piece, "the connection of another client was closed"
            found += piece
        assert found.startswith(b"HTTP/1.1 200"), found
        return time.monotonic() - start


def say(port: int, said: bytes) -> bytes:
    """Send the bytes and return everything received. If the server waits for more, the connection is closed."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        with suppress(ConnectionError):
            connection.sendall(said + END)
        connection.settimeout(QUIET_SECONDS)
        with suppress(ConnectionError, TimeoutError):
            while piece := connection.recv(65_536):
                found += piece
    return found


def statuses_in(found: bytes) -> list[int]:
    return [int(line.split(b" ", 2)[1]) for line in found.split(b"HTTP/1.")[1:]]


@pytest.mark.scoreboard("T1", "any bytes on a connection", MARK, backend="SQLite")
def test_no_bytes_on_a_connection_stop_a_worker(shop: Served, score: Score, request: pytest.FixtureRequest) -> None:
    """Another connection is served concurrently. Breaks when a worker exits or blocks."""
    port = int(shop.url.rpartition(":")[2])
    (worker,) = children_of(shop.process.pid)
    another = Connection(port)
    request.addfinalizer(another.close)
    another.ask()
    before = _memory_mb(worker)
    slowest = 0.0

    def attempt(said: bytes) -> str:
        nonlocal slowest
        statuses = statuses_in(say(port, said))
        assert all(status < 500 for status in statuses), statuses
        took = another.ask()
        if took > LIVE_SECONDS:
            took = min(took, another.ask())
        slowest = max(slowest, took)
        assert took <= LIVE_SECONDS
        return str(statuses[0]) if statuses else "no answer"

    fuzz(score, from_choices(bytes_of, size=40), attempt, small=SMALL, full=FULL)
    assert children_of(shop.process.pid) == [worker], "a worker ended"
    assert "Traceback" not in shop.output
    grown = _memory_mb(worker) - before
    score.note(f"another connection's slowest answer {slowest * 1e3:.0f} ms, memory of the worker {grown:+.0f} MB")
    assert grown <= 50


def _memory_mb(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4_096 / 2**20
