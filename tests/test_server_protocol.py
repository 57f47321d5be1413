"""Malformed HTTP requests over real connections: the response is a problem if the server can parse the request."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from raw_client import send_raw
from reverse_proxy import nginx
from servers import NEEDS, RESTWELL, SUPPORT, Served, restwell, serve

pytestmark = pytest.mark.integration

CLOSE: Final = b"Connection: close\r\n"
HOST: Final = b"Host: app.test\r\n" + CLOSE
NOTES: Final = b"GET /v1/notes HTTP/1.1\r\n"
POST: Final = b"POST /v1/notes HTTP/1.1\r\nContent-Type: application/json\r\n"


def with_fields(count: int) -> bytes:
    """A request with this number of header fields."""
    return NOTES + HOST + b"".join(b"X-%d: y\r\n" % number for number in range(count - 2)) + b"\r\n"


def with_long(count: int) -> bytes:
    return NOTES + HOST + b"X-Long: " + b"y" * count + b"\r\n\r\n"


def with_address(count: int) -> bytes:
    return b"GET /v1/notes?q=" + b"a" * count + b" HTTP/1.1\r\n" + HOST + b"\r\n"


BY_THE_APPLICATION: Final = {
    "no host": (NOTES + CLOSE + b"\r\n", 400),
    "an empty host": (NOTES + b"Host:\r\n" + CLOSE + b"\r\n", 400),
    "two hosts": (NOTES + b"Host: evil.example\r\n" + HOST + b"\r\n", 400),
    "the same host twice": (NOTES + b"Host: app.test\r\n" + HOST + b"\r\n", 400),
    "a malformed host": (NOTES + b"Host: a b\r\n" + CLOSE + b"\r\n", 400),
    "two hosts of HTTP/1.0": (b"GET /v1/notes HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two authorizations": (NOTES + HOST + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
    "two content types": (POST + HOST + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 400),
    "82 fields": (with_fields(82), 431),
    "100 fields": (with_fields(100), 431),
    "33,000 bytes": (with_long(33_000), 431),
    "65,000 bytes": (with_long(65_000), 431),
    "an address of 8,001 bytes": (with_address(8_001), 414),
    "an address of 60,000 bytes": (with_address(60_000), 414),
    "an address that is long as it is sent": (b"GET /v1/" + b"%6e" * 3_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
}
THE_SERVERS: Final = {
    "no HTTP": (b"GET / not HTTP\r\n" + HOST + b"\r\n", {400}),
    "NUL in a field": (NOTES + HOST + b"X-Nul: a\x00b\r\n\r\n", {400}),
    "two lengths": (POST + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", {400}),
    "101 fields": (with_fields(101), {431}),
    "200,000 bytes": (with_long(200_000), {0, 431}),  # the connection may close before the response is read
    "an address of 70,000 bytes": (with_address(70_000), {414, 431}),
}
GOOD: Final = {
    "HTTP/1.0 without a host": b"GET /v1/notes HTTP/1.0\r\n\r\n",
    "a whole address": b"GET http://app.test/v1/notes HTTP/1.1\r\n" + HOST + b"\r\n",
    "80 fields": with_fields(80),
    "32,000 bytes": with_long(32_000),
    "an address of 7,900 bytes": with_address(7_900),
    "cookies in two lines": NOTES + HOST + b"Cookie: a=1\r\nCookie: b=2\r\n\r\n",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("protocol")
    env = {
        "RESTWELL_APP": "tiny.app:project",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": f"sqlite:///{folder / 'tiny.db'}",
    }
    assert restwell("migrate", cwd=folder, **env).returncode == 0
    with serve(folder, RESTWELL, "serve", cwd=folder, **env) as started:
        yield started


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


def read(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split(" ")[1]) if answer else 0, headers, body


@pytest.mark.parametrize("name", BY_THE_APPLICATION)
def test_a_malformed_request_that_can_be_parsed_gets_a_problem(served: Served, name: str) -> None:
    """Seen to fail: the response was a 200, or one of the server, without body and security headers."""
    request, expected = BY_THE_APPLICATION[name]
    status, headers, body = read(send_raw(port_of(served), request))
    assert (status, headers["content-type"]) == (expected, "application/problem+json")
    problem = json.loads(body)
    assert (problem["status"], problem["request_id"]) == (expected, headers["x-request-id"])
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("name", THE_SERVERS)
def test_a_request_that_cannot_be_parsed_is_refused_by_the_server(served: Served, name: str) -> None:
    """Documents decision 22 and SECURITY.md. If this fails, the server rejects more, and both can be updated."""
    request, expected = THE_SERVERS[name]
    status, _, body = read(send_raw(port_of(served), request))
    assert (status in expected, body) == (True, b"")


@pytest.mark.parametrize("name", GOOD)
def test_an_unusual_valid_request_is_answered(served: Served, name: str) -> None:
    assert read(send_raw(port_of(served), GOOD[name]))[0] == 200


def test_nginx_answers_with_problems_with_the_shipped_configuration(served: Served, tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip(f"{NEEDS}: nginx (apt-get install nginx-light)")
    with nginx(tmp_path, port_of(served)) as port:
        assert read(send_raw(port, NOTES + HOST + b"\r\n"))[0] == 200
        by_the_server = {name: (sent, min(status - {0})) for name, (sent, status) in THE_SERVERS.items()}
        del by_the_server["101 fields"]  # nginx does not count them, so the answer is that of the server
        for name, (request, expected) in (BY_THE_APPLICATION | by_the_server).items():
            status, headers, body = read(send_raw(port, request))
            assert (status, headers["content-type"]) == (expected, "application/problem+json"), name
            assert (json.loads(body)["status"], headers["x-content-type-options"]) == (expected, "nosniff"), name
