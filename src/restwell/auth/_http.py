"""Requests to identity providers: bounded in time and size, without cookies, redirects or decompression."""

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx
from msgspec import MsgspecError, json

from restwell.observability._trace import http_span

TIMEOUT_SECONDS: Final = 3.0
"""Timeout of each request."""
MAX_RESPONSE_BYTES: Final = 262_144
_SERVER_ERROR: Final = 500
_TOO_MANY_REQUESTS: Final = 429


class RequestError(Exception):
    """The message is for logs. ``status`` is None without a response."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class Unreachable(RequestError):
    """The server does not respond, or its response is an error of its own or not JSON."""


class Refused(RequestError):
    """The server rejects the request."""


def open_client(*, keep_connections: bool) -> httpx.AsyncClient:
    """A client that stores no cookies: one of a user must not be sent for another.

    Without ``keep_connections`` it holds nothing between requests, and needs no ``aclose``.
    """
    return httpx.AsyncClient(
        timeout=TIMEOUT_SECONDS,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        limits=httpx.Limits(max_keepalive_connections=None if keep_connections else 0),
    )


async def request_json(
    http: httpx.AsyncClient, method: str, url: str, *, token: str | None = None, **arguments: Any
) -> Any:
    """Send a request and decode its JSON response. Raises Unreachable, Refused."""
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    try:
        with http_span(method, url) as call:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                http.stream(method, url, headers=headers | call.headers, **arguments) as response,
            ):
                call.attributes["status"] = response.status_code
                content = await _read_body(response)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
        raise Unreachable(f"{url}: {error!r}") from error
    if response.status_code >= _SERVER_ERROR or response.status_code == _TOO_MANY_REQUESTS:
        raise Unreachable(f"{url} responded {response.status_code}", response.status_code)
    try:
        body = json.decode(content)
    except (MsgspecError, RecursionError, ValueError):
        raise Unreachable(f"{url} responded without JSON", response.status_code) from None
    if not response.is_success or (isinstance(body, dict) and "error" in body):  # GitHub sends errors with status 200
        raise Refused(f"{url} responded {response.status_code}: {content[:200]!r}", response.status_code)
    return body


async def _read_body(response: httpx.Response) -> bytes:
    """Read the body without decoding. Raises ValueError above MAX_RESPONSE_BYTES."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise ValueError(f"more than {MAX_RESPONSE_BYTES:,} bytes")
    return bytes(content)
