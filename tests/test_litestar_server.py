"""Litestar as the host of an application that the server runs, and that a command lists."""

import socket
from pathlib import Path

import httpx
import pytest

from raw_client import send_raw
from servers import RESTWELL, restwell, serve
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def hosted_env(tmp_path: Path) -> dict[str, str]:
    return {**tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}"), "RESTWELL_APP": "tiny.hosted:project"}


def test_the_routes_command_says_why_a_route_runs_through_litestar(hosted_env: dict[str, str], tmp_path: Path) -> None:
    """Breaks when the command reads the reason of another object than the application."""
    lines = restwell("routes", cwd=tmp_path, **hosted_env).stdout.splitlines()
    assert {" ".join(line.split()[-3:]) for line in lines[1:]} == {"through Litestar's middleware"}


def test_the_server_serves_a_websocket_and_events_of_litestar(hosted_env: dict[str, str], tmp_path: Path) -> None:
    restwell("migrate", cwd=tmp_path, **hosted_env)
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **hosted_env) as served:
        assert httpx.get(f"{served.url}/v1/notes/greeting").text == "hello"
        assert httpx.get(f"{served.url}/events").text.count("data: tick") == 3
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=5) as connection:
            connection.sendall(HANDSHAKE)
            assert connection.recv(12) == b"HTTP/1.1 101"
            while not connection.recv(65_536).endswith(b"\r\n\r\n"):
                pass
            connection.sendall(b"\x81\x85\0\0\0\0hello")  # a text frame, masked with zeros
            assert connection.recv(64) == b"\x81\x0aecho hello"


def test_an_application_without_a_host_refuses_a_websocket(tmp_path: Path) -> None:
    """Breaks when the WebSocket reaches the edge: it has no method, and the worker logs an exception."""
    env = tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}")
    restwell("migrate", cwd=tmp_path, **env)
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served:
        port = int(served.url.rpartition(":")[2])
        assert send_raw(port, HANDSHAKE, seconds=1).startswith(b"HTTP/1.1 403")
        without_key = HANDSHAKE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"")
        assert send_raw(port, without_key, seconds=1)[9:10] == b"4"
        assert httpx.get(f"{served.url}/v1/notes/greeting").text == "hello"
        assert "exception" not in (tmp_path / "server.log").read_text()
