"""nginx with the shipped configuration, in front of servers that tell what reached them, or end without an answer."""

import asyncio
import shutil
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from reverse_proxy import nginx
from servers import NEEDS, free_port

MIB: Final = 2**20


class Upstream:
    """A server that answers each request with its own head, or closes the connection instead."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.heads: list[str] = []

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line[16:] for line in head.lower().splitlines() if line.startswith("content-length: ")), "0")
        await reader.readexactly(int(length))
        self.heads.append(head)
        if not self.fails:
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head.encode())
            )
            await writer.drain()
        writer.close()


@asynccontextmanager
async def behind_nginx(folder: Path, *upstreams: Upstream) -> AsyncIterator[str]:
    """The URL of an nginx in front of the servers."""
    if shutil.which("nginx") is None:
        pytest.skip(f"{NEEDS}: nginx (apt-get install nginx-light)")
    async with AsyncExitStack() as stack:
        servers = [await asyncio.start_server(each.serve, "127.0.0.1", 0) for each in upstreams]
        for server in servers:
            await stack.enter_async_context(server)
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        port = stack.enter_context(nginx(folder, *ports))
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH"])
async def test_only_what_is_safe_is_sent_again(tmp_path: Path, method: str) -> None:
    """Fails with ``proxy_next_upstream error timeout non_idempotent``, and for GET with ``off``."""
    upstreams = [Upstream(fails=True), Upstream()]
    async with behind_nginx(tmp_path, *upstreams) as url, httpx.AsyncClient() as client:
        answers = [await client.request(method, url) for _ in range(4)]
        failed = len(upstreams[0].heads)
        assert failed > 0, "nginx asks the servers in turn"
        if method in {"GET", "HEAD"}:
            assert [answer.status_code for answer in answers] == [200] * 4
        else:
            bad = [answer for answer in answers if answer.status_code == 502]
            assert len(bad) == failed
            assert len(upstreams[1].heads) == 4 - failed
            assert (bad[0].headers["content-type"], bad[0].headers["retry-after"]) == ("application/problem+json", "1")
            assert (bad[0].json()["status"], bad[0].json()["code"]) == (502, "bad_gateway")


async def test_the_address_of_the_client_is_appended(tmp_path: Path) -> None:
    """The kit takes the last entry with TRUSTED_HOPS=1. Fails with ``$http_x_forwarded_for``: a client then chooses."""
    async with behind_nginx(tmp_path, Upstream()) as url, httpx.AsyncClient() as client:
        seen = (await client.get(url, headers={"x-forwarded-for": "203.0.113.9", "host": "Shop.Example.com"})).text
    lines = seen.lower().splitlines()
    assert "x-forwarded-for: 203.0.113.9, 127.0.0.1" in lines
    assert "host: shop.example.com" in lines
    assert not [line for line in lines if line.startswith("connection")], "the connection stays open"


async def test_limits_and_internal_paths_are_answered_with_problems(tmp_path: Path) -> None:
    """Fails without the ``location`` of internal paths, or with the default limit of a body, 1 MiB."""
    upstream = Upstream()
    async with behind_nginx(tmp_path, upstream) as url, httpx.AsyncClient() as client:
        for path in ("/metrics", "/health/live", "/ops", "/ops/jobs", "//metrics", "/%6detrics"):
            answer = await client.get(url + path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert upstream.heads == []
        assert (await client.post(url, content=b" " * 10 * MIB)).status_code == 200
        too_large = await client.post(url, content=b" " * 12 * MIB)
        assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")
        assert (await client.get(f"{url}/opsis", headers={"x-long": "x" * 31_000})).status_code == 200


async def test_tls_is_1_2_or_1_3_with_http_2(tmp_path: Path) -> None:
    """Fails if ``ssl_protocols`` or ``http2`` is removed."""
    tls_port = free_port()
    if shutil.which("nginx") is None:
        pytest.skip(f"{NEEDS}: nginx (apt-get install nginx-light)")
    with nginx(tmp_path, free_port(), tls_port=tls_port):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=tmp_path / "nginx/tls.pem")
            context.set_alpn_protocols(["h2", "http/1.1"])
            context.minimum_version = context.maximum_version = version
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", tls_port, ssl=context, server_hostname="shop.example.com"
            )
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            writer.close()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "nginx/http")
        writer.write(b"GET /v2/products?limit=1 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 301 ")
    assert "Location: https://shop.example.com/v2/products?limit=1\r\n" in answer
