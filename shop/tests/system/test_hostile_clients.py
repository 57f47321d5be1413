"""A4 to A6: slow clients, oversized and malformed requests, and request smuggling."""

import asyncio
import gzip
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from order_load import http_client
from processes import children_of
from reverse_proxy import nginx
from scoreboard import Score
from servers import NEEDS, RESTWELL, Served, restwell, serving

JSON: Final = b"Host: shop.test\r\nContent-Type: application/json\r\n"
USERS: Final = b"POST /v1/users HTTP/1.1\r\n" + JSON
GROWTH_MB: Final = 20
SMUGGLED: Final = "/v1/smuggled"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Served]:
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}", "RESTWELL_APP": "shop.app:shop", "WORKERS": "2"}
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as served:
        yield served


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


def memory_mb(served: Served) -> float:
    """The memory of the largest worker."""
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in children_of(served.process.pid)]
    return max(pages) * 4_096 / 2**20


async def send_raw(
    port: int, *parts: bytes, seconds: float = 20, chunks: int = 0, chunk: bytes = b""
) -> tuple[bytes, float]:
    """Send the parts, then ``chunk`` as often as ``chunks`` says, as far as the server accepts it.

    Return all bytes until the connection ends, and the seconds until the first byte.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    first_byte = 0.0

    async def read() -> bytes:
        nonlocal first_byte
        found = b""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                while piece := await reader.read(65_536):
                    first_byte = first_byte or time.monotonic() - began
                    found += piece
        return found

    reading = asyncio.create_task(read())
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
        for _ in range(chunks):
            writer.write(chunk)
            await writer.drain()
    response = await reading
    writer.close()
    return response, first_byte or time.monotonic() - began


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1]) if response.startswith(b"HTTP/") else 0


def code_of(response: bytes) -> str:
    body = response.partition(b"\r\n\r\n")[2]
    return str(json.loads(body)["code"]) if body else ""


def sized(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in (*headers, b"Connection: close"))
    return USERS + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


BOMB: Final = gzip.compress(b'{"name":"' + b" " * 200_000_000 + b'"}')
TOO_MUCH: Final[dict[str, tuple[bytes, int, str]]] = {
    "10,000 headers": (
        b"GET /v1/products HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
        431,
        "",
    ),
    "a header of 3 MB": (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 3_000_000 + b"\r\n\r\n", 431, ""),
    "an address of 9,000 bytes": (
        b"GET /v1/products?q=" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        414,
        "uri_too_long",
    ),
    "an address of 1 MB": (b"GET /v1/products?q=" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, ""),
    "deep JSON": (sized(b"[" * 500_000 + b"]" * 500_000), 400, "malformed_request"),
    "a key twice": (
        sized(b'{"email":"a@b.example","password":"another valid password","name":"A","name":"B"}'),
        400,
        "malformed_request",
    ),
    "NaN": (sized(b'{"email":NaN}'), 400, "malformed_request"),
    "a gzip bomb": (sized(BOMB, b"Content-Encoding: gzip"), 415, "unsupported_media_type"),
    "not UTF-8": (sized(b'{"email":"\xff\xfe"}'), 400, "malformed_request"),
    "a number of 100,000 digits": (sized(b'{"email":' + b"9" * 100_000 + b"}"), 422, "invalid"),
    "two lengths": (USERS + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400, ""),
    "a length below zero": (USERS + b"Content-Length: -1\r\n\r\n", 400, ""),
    "a chunk of no size": (USERS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400, ""),
}
MEGABYTE: Final = b"100000\r\n" + b"a" * 2**20 + b"\r\n"


@pytest.mark.scoreboard(
    "A5",
    "1 GB chunked body, 10k headers, deep / duplicate-key / NaN JSON, gzip bomb",
    "right 4xx <= 1 s, no 5xx, memory +20 MB at most",
)
async def test_an_oversized_or_malformed_request_is_rejected_within_a_second(shop: Served, score: Score) -> None:
    """Broken builds that were seen to fail: no body limit; duplicate keys accepted; compressed bodies accepted."""
    port = port_of(shop)
    await send_raw(port, *[one for one, _, _ in TOO_MUCH.values()][:1])
    before, slowest = memory_mb(shop), 0.0
    for name, (request, status, code) in TOO_MUCH.items():
        for _ in range(score.size(2, 10)):
            response, seconds = await send_raw(port, request)
            slowest = max(slowest, seconds)
            found = status_of(response)
            # The server may respond to a very long request while it is sent; the response is then lost with the
            # connection.
            assert found == status or (found == 0 and len(request) > 500_000), f"{name}: {response[:200]!r}"
            assert not code or not found or code_of(response) == code, name
    chunked = USERS + b"Transfer-Encoding: chunked\r\n\r\n"
    response, seconds = await send_raw(port, chunked, chunk=MEGABYTE, chunks=score.size(100, 1_000))
    slowest = max(slowest, seconds)
    assert status_of(response) in {413, 0}
    exact = USERS + b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    response, seconds = await send_raw(port, exact)
    assert (status_of(response), code_of(response)) == (413, "body_too_large")
    grown = memory_mb(shop) - before
    assert slowest <= 1
    assert grown <= GROWTH_MB
    score.note(f"{len(TOO_MUCH) + 2} kinds: each its 4xx, within {slowest * 1e3:.0f} ms; memory {grown:+.0f} MB")


@contextmanager
def attack(url: str, kind: str, connections: int, seconds: int) -> Iterator[None]:
    """Run slowhttptest, which holds its connections open as long as it can."""
    options = {
        "headers": ["-H", "-t", "GET", "-u", f"{url}/v1/products"],
        "bodies": ["-B", "-t", "POST", "-u", f"{url}/v1/users", "-s", "8192"],
        "reading": [
            "-X",
            "-t",
            "GET",
            "-u",
            f"{url}/v1/products?limit=100",
            "-w",
            "1",
            "-y",
            "8",
            "-n",
            "5",
            "-z",
            "4",
        ],
    }
    rate = ["-c", str(connections), "-r", str(connections), "-l", str(seconds), "-i", "3", "-p", "5"]
    command = ["slowhttptest", *options[kind], *rate]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


async def ask_until(stop: float, url: str) -> tuple[int, int, float]:
    """Send ordinary requests, each on a new connection. Return the successful, the total, and the longest duration."""
    good, all_, longest = 0, 0, 0.0
    while time.monotonic() < stop:
        began = time.monotonic()
        all_ += 1
        with suppress(httpx.HTTPError):
            async with http_client(url) as client:
                good += (await client.get("/v1/products", timeout=5)).status_code == 200
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.05)
    return good, all_, longest


@pytest.mark.scoreboard("A4", "slowhttptest, 1,000 connections", "normal success >= 99%; attackers cut <= 30 s")
async def test_slow_clients_do_not_block_others(shop: Served, score: Score) -> None:
    """Broken builds that were seen to fail: no timeout for headers; no timeout for bodies."""
    if shutil.which("slowhttptest") is None:
        pytest.skip(f"{NEEDS}: slowhttptest (apt-get install slowhttptest)")
    connections, seconds = score.size((200, 4), (1_000, 30))
    port = port_of(shop)
    cut = [
        asyncio.create_task(send_raw(port, USERS, seconds=40)),
        asyncio.create_task(send_raw(port, USERS + b"Content-Length: 9\r\n\r\n{")),
    ]
    for kind in ("headers", "bodies", "reading"):
        with attack(shop.url, kind, connections, seconds):
            await asyncio.sleep(1)
            good, all_, longest = await ask_until(time.monotonic() + seconds - 1, shop.url)
        assert good >= all_ * 0.99
        score.note(f"slow {kind}: {good} of {all_} others answered, the slowest after {longest * 1e3:.0f} ms")
    (headers, after), (body, until) = await asyncio.gather(*cut)
    assert (headers, status_of(body)) == (b"", 408)
    assert max(after, until) < 30
    score.note(f"one that sends half its headers is cut after {after:.0f} s, half a body after {until:.0f} s")


_PREFIX: Final = f"GET {SMUGGLED} HTTP/1.1\r\nHost: shop.test\r\nX-Rest: ".encode()


def _both(te: bytes, length: int | None = None) -> bytes:
    """A body that is empty if chunked, and contains another request if not."""
    body = b"0\r\n\r\n" + _PREFIX
    given = len(body) if length is None else length
    return USERS + b"Content-Length: %d\r\n" % given + te + b"\r\n\r\n" + body


CORPUS: Final = [
    *(
        _both(te)
        for te in (
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding:\tchunked",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding:\r\n chunked",
            b"Transfer-Encoding\r\n: chunked",
            b"transfer-encoding: CHUNKED",
            b'Transfer-Encoding: "chunked"',
            b"Transfer-Encoding: chunked\x00",
            b"Transfer-Encoding:\x0bchunked",
            b"X: y\nTransfer-Encoding: chunked",
            b"X: y\rTransfer-Encoding: chunked",
            b"Transfer_Encoding: chunked",
            b"Content-Length: 0",
            b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        )
    ),
    *(
        USERS + length + b"\r\n\r\n" + _PREFIX
        for length in (
            b"Content-Length: 0, 60",
            b"Content-Length: +0",
            b"Content-Length: 0x3c",
            b"Content-Length: 0 ",
            b"Content-Length:\x0c0",
            b"Content-Length : 60",
            b"Content_Length: 60",
            b"Content-Length: -0",
            b"Content-Length: 00000000000000000000000000000000000000000000000060",
            b"Content-Length: 18446744073709551616",
        )
    ),
    *(
        USERS + b"Transfer-Encoding: chunked\r\n\r\n" + chunk
        for chunk in (
            b"0\r\n\r\n" + _PREFIX,
            b"0;x=\n\r\n" + _PREFIX,
            b"0 \r\n\r\n" + _PREFIX,
            b"0\n\n" + _PREFIX,
            b"0\r\nX: y\r\n" + _PREFIX,
            b"00000000000000000\r\n\r\n" + _PREFIX,
            b"0x0\r\n\r\n" + _PREFIX,
            b"-1\r\n\r\n" + _PREFIX,
            b"FFFFFFFFFFFFFFFFF\r\n\r\n" + _PREFIX,
            b"1\r\n{\r\n0\r\n\r\n" + _PREFIX,
            b"2\r\n{}0\r\n\r\n" + _PREFIX,
        )
    ),
    b"GET /v1/products HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 60\r\n\r\n" + _PREFIX,
    b"GET /v1/products HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _PREFIX,
    b"HEAD /v1/products HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + _PREFIX,
    b"GET /v1/products HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n" + _PREFIX,
    b"GET http://shop.test/v1/products HTTP/1.1\r\nHost: other.test\r\nContent-Length: 0\r\n\r\n" + _PREFIX,
]


@pytest.mark.scoreboard("A6", "CL/TE smuggling corpus through nginx", "0 desyncs")
async def test_nginx_and_the_server_see_the_same_requests(shop: Served, tmp_path: Path, score: Score) -> None:
    """No client gets the response to a request hidden in the message of another. Seen to fail with a proxy that uses
    Content-Length and forwards Transfer-Encoding.
    """
    if shutil.which("nginx") is None:
        pytest.skip(f"{NEEDS}: nginx (apt-get install nginx-light)")
    desyncs = []
    with nginx(tmp_path, port_of(shop)) as port:
        victim = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")
        for message in CORPUS:
            await send_raw(port, message, seconds=0.3)
            for number in range(3):
                path = f"/v1/products?limit={number + 1}"
                response = await victim.get(path)
                if response.status_code != 200 or len(response.json()["items"]) != number + 1:
                    desyncs.append((message, response.status_code, response.text[:100]))
        await victim.aclose()
    assert desyncs == []
    score.note(f"{len(CORPUS)} messages, {3 * len(CORPUS)} requests of another client between them: 0 answered wrongly")
