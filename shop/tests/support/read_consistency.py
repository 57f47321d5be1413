"""Concurrent readers and writers of a few products. Each read is checked against the writes acknowledged before it."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from api_client import Json


class Product(Struct):
    id: str
    version: int


class Products(Struct):
    items: list[Product]


class Connection:
    """A minimal HTTP/1.1 client on one persistent connection, which leaves most of the processor to the server."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. Raises OSError or EOFError when the connection is lost.

        A GET is retried once on a new connection (RFC 9112 9.3.1), because the server may have closed an idle one.
        """
        if self._streams is not None and method == "GET":
            with suppress(OSError, EOFError):
                return await self._ask(method, path, body, headers)
        return await self._ask(method, path, body, headers)

    async def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if self._streams is None:
            host, _, port = self._host.partition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._host}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        try:
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            response_headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            content = await reader.readexactly(int(response_headers.get("content-length", 0)))
        except BaseException:
            self.close()
            raise
        return int(head[0].split()[1]), response_headers, content

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class History:
    """The acknowledged versions of each product, and the reads that were older."""

    def __init__(self, products: Sequence[Json], tokens: Json) -> None:
        self.products = [product["id"] for product in products]
        self.category = products[0]["category"]
        self.newest = {product["id"]: (product["version"], 0.0) for product in products}
        self.acknowledged: dict[str, dict[int, float]] = {product["id"]: {} for product in products}
        self.reads = self.hits = self.writes = self.failed = 0
        self.stale: list[float] = []
        """For each stale read, the seconds since a newer version was acknowledged."""
        self.stale_at: list[float] = []
        self.latencies: list[tuple[float, float]] = []
        """The start time and the duration of each read, in seconds."""
        self.written: list[tuple[float, float]] = []
        self.hit_at: list[float] = []
        self._authorization = f"Bearer {tokens['access_token']}"

    async def read_until(self, done: Callable[[], bool], url: str, pause: float = 0) -> None:
        connection = Connection(url)
        while not done():
            one = random.choice(self.products)  # noqa: S311  # test data
            single = random.random() < 0.7  # noqa: S311  # test data
            path = f"/v1/products/{one}" if single else f"/v1/products?category={self.category}"
            known, began = dict(self.newest), time.monotonic()
            try:
                status, headers, body = await connection.ask("GET", path)
            except (OSError, EOFError):
                self.failed += 1
                continue
            self.latencies.append((began, time.monotonic() - began))
            if status != 200:
                self.failed += 1
                continue
            self.reads += 1
            if "hit" in headers.get("cache-status", ""):
                self.hits += 1
                self.hit_at.append(began)
            found = (
                [msgspec.json.decode(body, type=Product)] if single else msgspec.json.decode(body, type=Products).items
            )
            for product in found:
                if product.version < known.get(product.id, (0, 0.0))[0]:
                    later = (at for number, at in self.acknowledged[product.id].items() if number > product.version)
                    self.stale.append(began - min(later))
                    self.stale_at.append(began)
            await asyncio.sleep(pause)
        connection.close()

    async def write_until(self, done: Callable[[], bool], url: str, pause: float) -> None:
        connection = Connection(url)
        while not done():
            one = random.choice(self.products)  # noqa: S311  # test data
            changes = {"stock": random.randrange(1_000)}  # noqa: S311  # test data
            if random.random() < 0.2:  # noqa: S311  # test data
                changes["price_cents"] = 1  # invalidates the ids of lists too
            body = msgspec.json.encode(changes)
            began = time.monotonic()
            try:
                status, _, response = await connection.ask(
                    "PATCH",
                    f"/v1/products/{one}",
                    body,
                    authorization=self._authorization,
                    content_type="application/merge-patch+json",
                    if_match="*",
                )
            except (OSError, EOFError):
                self.failed += 1
                continue
            now = time.monotonic()
            self.written.append((began, now - began))
            if status == 200:
                self.writes += 1
                version = msgspec.json.decode(response, type=Product).version
                self.acknowledged[one][version] = now
                if version > self.newest[one][0]:
                    self.newest[one] = (version, now)
            elif status != 412:  # another writer was faster
                self.failed += 1
            await asyncio.sleep(random.uniform(0, 2 * pause))  # noqa: S311  # test data
        connection.close()
