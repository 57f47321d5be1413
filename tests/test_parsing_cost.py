"""Every parser of client input takes time linear in its length.

Add a parser to the table of its kind of input. Each parser runs on every text of ``WORST``, short and four times as
long. The time may grow by twice that factor at most. Breaks with the parsers that it was written for: a dict lookup of
every JSON name prefix (143 kB: 5 s), cookie unquoting in ``http.cookies`` (24 kB: 2 s), an If-Match expression that
backtracks at each space (60 kB: 110 s).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final, cast

import pytest
from msgspec import convert

from parsing_cost import FORMS, JSON, MARK, WORST, Draft, slowest_of, told_of
from restwell.accounts._passwords.schemas import RegistrationRequest
from restwell.auth import AccessTokens
from restwell.auth._signing_keys import from_secrets
from restwell.auth.oauth import AuthorizationFlows
from restwell.client_ip import forwarded_address, network_of
from restwell.database._consistency import ConsistencyTokens
from restwell.edge._cached_response import etag_listed, negotiate_encoding
from restwell.edge._context import RequestContext, new_context
from restwell.edge._header_fields import HeaderFields
from restwell.edge._request_id import RequestId
from restwell.email_addresses import EmailAddress
from restwell.fields import MultiLineText, SingleLineText
from restwell.pages import Cursors, PageFilter
from restwell.web import Request, client_info, read_client_credentials
from restwell.web._conditional import expected_versions
from restwell.web._cookies import cookies_in
from restwell.web._decoding import decode_body, decode_form
from restwell.web._read_your_writes import ReadYourWrites
from restwell.web._uploads import read_upload
from restwell.web._validation import decode_hook
from scoreboard import Score

KEY: Final = b"k" * 32


class Sent:
    """The parts of a request that the parsers read."""

    client_address = None

    def __init__(self, body: bytes = b"", **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._body = body

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._body


def sent(**given: Any) -> Request:
    return cast("Request", Sent(**given))


def anchored(work: Any) -> None:
    """Run a coroutine that never waits."""
    with suppress(StopIteration):
        work.send(None)


def context(name: str, value: str) -> RequestContext:
    headers = [(b"host", b"a"), (name.encode(), value.encode())]
    scope = {"type": "http", "method": "GET", "headers": headers, "http_version": "1.1"}
    return new_context(scope, cast("Any", None))  # no body is read


tokens = AccessTokens(from_secrets(["s" * 32]), issuer="test", ttl_seconds=60)
cursors, flows, consistency = Cursors(KEY), AuthorizationFlows(KEY), ConsistencyTokens(KEY)

PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "query string": lambda text: decode_form(text.encode(), PageFilter),
    "a parameter": lambda text: decode_form(f"cursor={text}".encode(), PageFilter),
    "cookies": cookies_in,
    "cookies of the edge": lambda text: ReadYourWrites(consistency).admit(
        context("cookie", f"consistency-token={text}")
    ),
    "consistency token": lambda text: consistency.decode(text.encode()),
    "If-Match": expected_versions,
    "If-None-Match": lambda text: etag_listed(text.encode(), b'"1"'),
    "Accept-Encoding": lambda text: negotiate_encoding(text.encode()),
    "text of a line": lambda text: convert(text, SingleLineText),
    "email address": lambda text: convert(text, EmailAddress, dec_hook=decode_hook),
    "text of lines": lambda text: convert(text, MultiLineText),
    "X-Forwarded-For": lambda text: forwarded_address(text, 1),
    "an address": network_of,
    "User-Agent": lambda text: client_info(sent(user_agent=text)),
    "X-Request-Id": lambda text: RequestId().admit(context("x-request-id", text)),
    "Host": lambda text: HeaderFields().admit(context("host", text)),
    "header fields": lambda text: HeaderFields().admit(context("x-any", text)),
    "access token": tokens.verify,
    "access token's parts": lambda text: tokens.verify(f"{text[: len(text) // 2]}.{text}.{text}"),
    "client credentials": lambda text: read_client_credentials(sent(authorization=text), "", ""),
    "cursor": lambda text: cursors.decode("list", text, tuple),
    "sign-in cookie": lambda text: flows.resume(text, "provider", text),
    "Content-Type of a form": lambda text: anchored(read_upload(sent(content_type=f"multipart/form-data; {text}"))),
}
BODIES: Final[dict[str, Callable[[str], object]]] = {
    "body": lambda text: decode_body(text.encode(), Draft),
    "registration": lambda text: decode_body(text.encode(), RegistrationRequest),
    "body of anything": lambda text: decode_body(text.encode(), Any),
}


def uploaded(text: str) -> None:
    anchored(read_upload(sent(body=text.encode(), content_type="multipart/form-data; boundary=x")))


TABLE: Final = [
    *((name, parse, WORST) for name, parse in PARSERS.items()),
    *((name, parse, JSON) for name, parse in BODIES.items()),
    ("upload", uploaded, FORMS),
]


@pytest.mark.slow
@pytest.mark.scoreboard("T2", "64 kB of worst-case input to every parser", MARK, backend="none")
def test_every_parser_takes_linear_time(score: Score) -> None:
    slowest = slowest_of(TABLE)
    score.note(f"{len(slowest)} inputs, slowest: {told_of(slowest)}")
