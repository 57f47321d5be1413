"""What faces clients: proxies, CORS, routes without a guard, and N+1 queries that the running server has seen."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from restwell._doctor._finding import Finding, Subject
from restwell._startup import PROBE_SECONDS
from restwell.rate_limits import Rate
from restwell.web._openapi import operations
from restwell.web._session_cookies import SAFE_METHODS

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_N_PLUS_ONE: Final = re.compile(
    r'^restwell_query_budget_exceeded_total\{method="(?P<method>\w+)",query="(?P<query>[^"]*)",route="(?P<route>[^"]*)"\}'
    r" (?P<times>[\d.e+]+)",
    re.MULTILINE,
)
MAX_ANSWER_BYTES: Final = 16 * 2**20


async def check_proxies(subject: Subject) -> AsyncIterator[Finding]:
    settings = subject.settings
    is_public = settings.host not in _LOOPBACK
    if settings.public_url.startswith("https://") and not settings.trusted_hops:
        yield Finding(
            "warning",
            "TRUSTED_HOPS",
            "APP_URL is https, so a proxy ends TLS, and with 0 all clients have its address and share its rate limit."
            " Set it to the number of proxies in front.",
        )
    if is_public and settings.trusted_hops and not settings.public_url.startswith("https://"):
        yield Finding(
            "warning",
            "TRUSTED_HOPS",
            f"the server listens on {settings.host}, and a client that reaches it without the proxies may claim any"
            " address. Listen on an address that only the proxies reach, or set it to 0.",
        )


async def check_cors(subject: Subject) -> AsyncIterator[Finding]:
    settings = subject.settings
    for origin in settings.cors.origins:
        host = urlsplit(origin).hostname or ""
        if settings.in_production and (host in _LOOPBACK or host.endswith(".localhost")):
            yield Finding(
                "warning",
                "CORS_ORIGINS",
                f"{origin} lets any program on the machine of a user call the API from a page. Remove it.",
            )
        elif origin.startswith("http://") and host not in _LOOPBACK:
            yield Finding(
                "warning",
                "CORS_ORIGINS",
                f"{origin} is not encrypted: an attacker on the network may change its pages. Use https://.",
            )
        if origin == settings.public_url:
            yield Finding("hint", "CORS_ORIGINS", f"{origin} is the API's own origin, which needs no entry. Remove it.")


async def check_guards(subject: Subject) -> AsyncIterator[Finding]:
    """A route that writes has a guard, or checks its caller, or is public on purpose.

    It checks its caller if it raises a 401 or 403. A rate limit of its own, as sign-in has, shows the purpose.
    """
    for endpoint in operations(subject.app.routes) if subject.app is not None else ():
        checks_caller = any(error.status in {401, 403} for error in endpoint.raises)
        is_intended = checks_caller or isinstance(endpoint.declared_rate, Rate)
        if endpoint.method not in SAFE_METHODS and not endpoint.guards and not is_intended:
            yield Finding(
                "hint",
                f"{endpoint.method} {endpoint.path}",
                f"anyone may call {endpoint.name}, and it writes. Add guards=[signed_in], or a rate_limit="
                " of its own if it is public.",
            )


async def check_repeated_queries(subject: Subject) -> AsyncIterator[Finding]:
    """Reads the metrics of the server, if it runs on this machine."""
    for found in _N_PLUS_ONE.finditer(await _metrics(subject.settings.host, subject.settings.port)):
        yield Finding(
            "warning",
            f"{found['method']} {found['route']}",
            f"an N+1: it ran the query {found['query']} repeatedly in {float(found['times']):.0f} requests. Read"
            " the rows with one query, or allow it with query_budget= on the route.",
        )


async def _metrics(host: str, port: int) -> str:
    """The metrics of the server, empty if none answers."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, and not listened on
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                answer = await reader.read(MAX_ANSWER_BYTES)
                while piece := await reader.read(MAX_ANSWER_BYTES):
                    answer += piece
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return ""
    return answer.decode(errors="replace")
