"""Every parser of client input takes time linear in its length.

Add a parser to the table of its kind of input. Each parser runs on every text of ``WORST``, short and four times as
long. The time may grow by twice that factor at most. Breaks with the parsers that it was written for: a dict lookup of
every JSON name prefix (143 kB: 5 s), cookie unquoting in ``http.cookies`` (24 kB: 2 s), an If-Match expression that
backtracks at each space (60 kB: 110 s).
"""

import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Annotated, Any, Final, cast

import pytest
from msgspec import Meta, Struct, ValidationError, convert

from fuzzing import InProcess, block_seconds
from restwell.auth import AccessTokens
from restwell.auth._signing_keys import from_secrets
from restwell.auth.oauth import AuthorizationFlows
from restwell.client_ip import forwarded_address, network_of
from restwell.database._consistency import ConsistencyTokens
from restwell.edge._cached_response import etag_listed, negotiate_encoding
from restwell.edge._context import RequestContext, new_context
from restwell.edge._header_fields import HeaderFields
from restwell.edge._request_id import RequestId
from restwell.errors import AppError
from restwell.web import ApiRequest, Cursors, PageFilter, client_info, expected_versions, read_client_credentials
from restwell.web._cookies import cookies_in
from restwell.web._read_your_writes import ReadYourWrites
from restwell.web._request import decode_body, decode_form
from restwell.web._uploads import read_upload
from scoreboard import Score
from shop.payments.schemas import PaymentEvent
from shop.products.queries import search_text
from shop.schema import Currency, MultiLineText, SingleLineText, Slug
from shop.users.schemas import Email, RegistrationRequest

MARK: Final = "time grows linearly; <= 50 ms"
LONG: Final = 65_536
TIMES: Final = 4
RATIO: Final = 2 * TIMES
MOMENT: Final = 0.01
"""Too short to measure the growth."""
KEY: Final = b"k" * 32

Text = Callable[[int], str]


def of(unit: str, before: str = "", after: str = "") -> Text:
    return lambda chars: before + unit * (chars // len(unit)) + after


UNITS: Final = (
    *(
        "a",
        " ",
        "\t ",
        '"',
        "\\",
        '\\"',
        "\\0",
        ",",
        ", ,",
        ";",
        "=",
        "%",
        "%41",
        "%ff",
        "(",
        "a=1; ",
        'a="',
        '"1", ',
        "W/",
    ),
    *(
        "1",
        "-",
        ".",
        ":",
        "@",
        "a@b.",
        "=?",
        "\xe9",
        "&",
        "&a=b",
        "+",
        "`",
        "q=0,",
        "gzip;",
        "1.1.1.1,",
        "::,",
        "a/b;",
        "0x",
    ),
)
WORST: Final = {
    **{repr(unit): of(unit) for unit in UNITS},
    **{f'"1"{unit!r}x': of(unit, '"1"', "x") for unit in (" ", "\t ", ",", ", ,", '"', "\\")},
    **{f'a="{unit!r}"': of(unit, 'a="', '"') for unit in ("\\", '\\"', "\\0", "\\054", " ", ";", "%")},
    **{f"Basic/Bearer {unit!r}": of(unit, "Bearer ") for unit in ("a", "a.", ".", "=", " ")},
    "names": lambda chars: "&".join(f"a{number}={number}" for number in range(chars // 10)),
    "cookies": lambda chars: "; ".join(f"a{number}={number}" for number in range(chars // 11)),
}


class Line2(Struct, forbid_unknown_fields=True):
    product: Annotated[str, Meta(max_length=10)]
    quantity: Annotated[int, Meta(ge=1)]


class Draft(Struct, forbid_unknown_fields=True):
    lines: list[Line2]
    nested: list[list[Line2]] = []
    more: dict[str, int] = {}


def numbered(chars: int, one: str) -> str:
    return ",".join(one.replace("#", str(number)) for number in range(chars // (len(one) + 5)))


JSON: Final = {
    "a name repeated": lambda chars: f'{{{numbered(chars, chr(34) + "n#" + chr(34) + ":1")}, "n1": 2}}',
    "a name repeated within": lambda chars: (
        f'{{"more": {{{numbered(chars, chr(34) + "n#" + chr(34) + ":1")}, "n1": 2}}}}'
    ),
    "unknown names": lambda chars: f"{{{numbered(chars, chr(34) + 'n#' + chr(34) + ':1')}}}",
    "one unknown name": of("n", '{"', '": 1}'),
    "a name that looks like a path": of(" - at `", '{"', '": 1}'),
    "faults": of('{"product":1},', '{"lines": [', "1]}"),
    "faults of lists": of('[{"product":1}],', '{"lines": [], "nested": [', "1]}"),
    "good, then a fault": of('{"product":"a","quantity":1},', '{"lines": [', "1]}"),
    "good lists, then a fault": of('[{"product":"a","quantity":1}],', '{"lines": [], "nested": [', "1]}"),
    "empty objects": of("{},", '{"lines": [', "1]}"),
    "empty lists": of("[],", '{"lines": [], "nested": [', "1]}"),
    "deep lists": of("[", '{"lines": '),
    "deep objects": of('{"a":', '{"x": '),
    "deep and closed": lambda chars: "[" * (chars // 2) + "]" * (chars // 2),
    "an integer": of("1", '{"lines": [{"product": "a", "quantity": ', "}]}"),
    "a fraction": of("1", '{"lines": [{"product": "a", "quantity": 1.', "}]}"),
    "an exponent": of("1", '{"lines": [{"product": "a", "quantity": 1e', "}]}"),
    "a string": of("a", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "escapes": of("\\u00e9", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "halves of characters": of("\\ud800", '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "quotes": of('\\"', '{"lines": [{"product": "', '", "quantity": 1}]}'),
    "spaces": of(" ", "{", "}"),
    "spaces at the end": of("\n", '{"lines": []}', "x"),
    "integers": of("1,", '{"more": {"a": 1}, "lines": [', "1]}"),
}
"""Bodies, most of them invalid: those are validated twice."""

PART: Final = 'content-disposition: form-data; name="file"; filename="a"'
FORMS: Final = {
    "content": of("a", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "nearly the boundary": of("\r\n--", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "line ends": of("\r", f"--x\r\n{PART}\r\n\r\n", "\r\n--x--\r\n"),
    "parts": of(f"--x\r\n{PART}\r\n\r\n\r\n"),
    "headers": of("a: b\r\n", "--x\r\n"),
    "a header": of("a", "--x\r\n"),
    "a disposition": of('; a="', "--x\r\ncontent-disposition: form-data", "\r\n\r\n\r\n--x--\r\n"),
    "continuations": of(" a\r\n", "--x\r\na: b\r\n"),
    "before": of("--x "),
}


class Sent:
    """The parts of a request that the parsers read."""

    client = None

    def __init__(self, body: bytes = b"", **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._body = body

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._body


def sent(**given: Any) -> ApiRequest:
    return cast("ApiRequest", Sent(**given))


def anchored(work: Any) -> None:
    """Run a coroutine that never waits."""
    with suppress(StopIteration):
        work.send(None)


async def receive_nothing() -> dict[str, Any]:
    return {}


def context(name: str, value: str) -> RequestContext:
    headers = [(b"host", b"a"), (name.encode(), value.encode())]
    return new_context({"type": "http", "method": "GET", "headers": headers, "http_version": "1.1"}, receive_nothing)


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
    "search words": lambda text: search_text("sqlite", text),
    **{
        f"text of {kind}": lambda text, kind=kind: convert(text, kind)  # type: ignore[misc]  # its default is its type
        for kind in (SingleLineText, MultiLineText, Slug, Currency, Email)
    },
}
BODIES: Final[dict[str, Callable[[str], object]]] = {
    "body": lambda text: decode_body(text.encode(), Draft),
    "body of anything": lambda text: decode_body(text.encode(), Any),
    "body of the shop": lambda text: decode_body(text.encode(), RegistrationRequest),
    "payment event": lambda text: decode_body(text.encode(), PaymentEvent),
}


def uploaded(text: str) -> None:
    anchored(read_upload(sent(body=text.encode(), content_type="multipart/form-data; boundary=x")))


TABLE: Final = [
    *((name, parse, WORST) for name, parse in PARSERS.items()),
    *((name, parse, JSON) for name, parse in BODIES.items()),
    ("upload", uploaded, FORMS),
]


def seconds(parse: Callable[[str], object], text: str) -> float:
    gc.disable()  # it must not wait
    try:
        start = time.thread_time()
        with suppress(AppError, ValidationError):
            copy_context().run(parse, text)  # context variables are discarded after the test
        return time.thread_time() - start
    finally:
        gc.enable()


def grown(measure: Callable[[int], float], chars: int, label: str) -> float:
    """Return the seconds for this number of characters. Fails if they grow faster than linearly."""
    short = measure(chars // TIMES)
    assert short < block_seconds(), label  # before measuring four times the length
    long = measure(chars)
    if long > MOMENT:
        short = min(short, *(measure(chars // TIMES) for _ in range(3)))
        long = min(long, *(measure(chars) for _ in range(3)))
        assert long <= MOMENT or long < RATIO * short, (
            f"{label}: {short * 1e3:.1f} ms, {TIMES} times as long {long * 1e3:.1f} ms"
        )
        assert long < block_seconds(), label
    return long


@pytest.mark.scoreboard("T2", "64 kB of worst-case input to every parser", MARK, backend="none")
def test_every_parser_takes_linear_time(score: Score) -> None:
    slowest: list[tuple[float, str]] = []
    gc.freeze()  # as the server does (restwell.testing): the collector skips objects of the tests
    for name, parse, texts in TABLE:
        for label, text in texts.items():
            one = f"{name}, {label}"
            slowest.append((grown(lambda chars: seconds(parse, text(chars)), LONG, one), one))  # noqa: B023
    score.note(f"{len(slowest)} inputs, slowest: {told_of(slowest)}")


def told_of(slowest: list[tuple[float, str]]) -> str:
    return ", ".join(f"{name} {took * 1e3:.1f} ms" for took, name in sorted(slowest, reverse=True)[:3])


HEADERS: Final = (
    *(
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "content-type",
        "content-encoding",
    ),
    *("cookie", "expect", "forwarded", "host", "idempotency-key", "if-match", "if-none-match"),
    *("if-modified-since", "origin", "range", "sec-fetch-site", "traceparent", "tracestate", "user-agent"),
    *("x-forwarded-for", "x-request-id", "consistency-token", "prefer", "te", "via"),
)
HEADER_CHARS: Final = 30_000
"""The edge accepts 32,768 bytes of header fields."""
TARGETS: Final = {
    "query": lambda text: f"/v1/products?{text}",
    "parameter": lambda text: f"/v1/products?q={text}",
    "path": lambda text: f"/v1/products/{text}",
    "first part": lambda text: f"/{text}",
}
TARGET_CHARS: Final = 7_800


@pytest.mark.scoreboard("T2", "requests with worst-case header fields, URLs and bodies", MARK, backend="SQLite")
def test_every_request_takes_linear_time(server: InProcess, score: Score) -> None:
    slowest: list[tuple[float, str]] = []

    def request(
        label: str, chars: int, method: str, text: Text, *, target: Any = None, header: str = "", kind: bytes = b""
    ) -> None:
        def measure(size: int) -> float:
            value = text(size).encode("latin-1" if header else "utf-8")
            headers = [(header.encode(), value)] if header else [(b"content-type", kind)] if kind else []
            address = target(text(size)).encode() if target is not None else b"/v1/sessions"
            response = server.send(method, address, headers, value if kind else b"{}")
            assert response.status < 500, (label, response)
            return response.seconds

        with suppress(UnicodeDecodeError):  # the server itself rejects such a target
            slowest.append((grown(measure, chars, label), label))

    for label, text in WORST.items():
        for header in HEADERS:
            request(f"{header}: {label}", HEADER_CHARS, "POST", text, header=header)
        for place, target in TARGETS.items():
            request(f"{place}: {label}", TARGET_CHARS, "GET", text, target=target)
        request(
            f"form: {label}",
            LONG,
            "POST",
            text,
            kind=b"application/x-www-form-urlencoded",
            target=lambda _: "/v1/oauth/token",
        )
    for label, text in JSON.items():
        request(f"body: {label}", LONG, "POST", text, kind=b"application/json")
    score.note(f"{len(slowest)} requests, slowest: {told_of(slowest)}")
