"""Fuzzed cursors and signatures of webhooks: never a 5xx."""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import strategies as st

from fuzzing import MARK, InProcess, Response, fuzz
from mutations import damaged, lines
from scoreboard import Score
from seeded_shop import SeededShop

JSON = (b"content-type", b"application/json")
WEBHOOK_SECRET = "whsec_of_the_shop_for_tests"


@pytest.mark.slow
@pytest.mark.scoreboard("T1", "any event and signature of a payment gateway", MARK, backend="SQLite")
def test_no_webhook_event_or_signature_causes_a_5xx(server: InProcess, score: Score) -> None:
    """Breaks when signatures are compared as strings: one that is not ASCII, with a recent time, is a 500."""
    path = "/v1/payments/events"

    def right(body: bytes) -> bytes:
        now = b"%d" % int(time.time())
        return b"t=%s,v1=%s" % (
            now,
            hmac.new(WEBHOOK_SECRET.encode(), now + b"." + body, hashlib.sha256).hexdigest().encode(),
        )

    def send(given: tuple[bytes, bytes | None]) -> Response:
        body, signature = given
        response = server.send(
            "POST", path, [JSON, (b"stripe-signature", right(body) if signature is None else signature)], body
        )
        assert signature is None or response.status in {400, 413, 422}
        return response

    pieces = st.sampled_from(
        [b"t=", b"v1=", b",", b"%d" % int(time.time()), b"9" * 20, b"\xe9", b"0" * 64, b"=", b" ", b"v0="]
    )
    near = lines.map(lambda line: b"t=%d,v1=%s" % (int(time.time()), line))
    signatures = st.none() | near | lines | st.lists(pieces).map(b"".join)
    values: st.SearchStrategy[Any] = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**4_200),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "object", "payment_intent"]), inner)
        ),
        max_leaves=8,
    )
    events = st.fixed_dictionaries({"id": values, "data": values | st.fixed_dictionaries({"object": values})}).map(
        lambda event: json.dumps(event).encode()
    )
    readable = st.just(b'{"id":"evt_1","data":{"object":{"id":"x"}}}')
    fuzz(score, st.tuples(readable | events | st.binary(), signatures), send)


@pytest.mark.slow
@pytest.mark.scoreboard("T1", "any cursor", MARK, backend="SQLite")
def test_no_cursor_causes_a_5xx(server: InProcess, seeded: SeededShop, score: Score) -> None:
    admin = (b"authorization", b"Bearer " + seeded.admin)
    lists = ["/v1/products?limit=1", "/v1/users?limit=1", "/v1/security-events?limit=1", "/v1/jobs?limit=1&state=done"]
    valid_cursor = json.loads(server.send("GET", lists[0], [admin]).body)["next_cursor"].encode()

    def read(given: tuple[str, bytes]) -> Response:
        path, cursor = given
        response = server.send("GET", f"{path}&cursor={quote_from_bytes(cursor)}", [admin])
        assert response.status in {400, 422} or not cursor or (path, cursor) == (lists[0], valid_cursor)
        return response

    fuzz(
        score,
        st.tuples(st.sampled_from(lists), st.binary() | damaged(valid_cursor) | st.text("Aa-_").map(str.encode)),
        read,
    )
