"""Every parser of client input takes time linear in its length: those of the shop, and all of them in requests.

``tests/test_parsing_cost.py`` has those of the kit.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from msgspec import convert

from fuzzing import InProcess
from parsing_cost import JSON, LONG, MARK, WORST, Text, grown, slowest_of, told_of
from restwell.web._decoding import decode_body
from scoreboard import Score
from shop.payments.schemas import PaymentEvent
from shop.products.queries import search_text
from shop.products.schemas import ProductCreateRequest
from shop.schema import Currency, Slug

PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "search words": lambda text: search_text("sqlite", text),
    **{
        f"text of {kind}": lambda text, kind=kind: convert(text, kind)  # type: ignore[misc]  # its default is its type
        for kind in (Slug, Currency)
    },
}
BODIES: Final[dict[str, Callable[[str], object]]] = {
    "body of the shop": lambda text: decode_body(text.encode(), ProductCreateRequest),
    "payment event": lambda text: decode_body(text.encode(), PaymentEvent),
}


TABLE: Final = [
    *((name, parse, WORST) for name, parse in PARSERS.items()),
    *((name, parse, JSON) for name, parse in BODIES.items()),
]


@pytest.mark.slow
@pytest.mark.scoreboard("T2", "64 kB of worst-case input to every parser of the shop", MARK, backend="none")
def test_every_parser_of_the_shop_takes_linear_time(score: Score) -> None:
    slowest = slowest_of(TABLE)
    score.note(f"{len(slowest)} inputs, slowest: {told_of(slowest)}")


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


@pytest.mark.slow
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
