"""Fuzzed tokens, signatures, cursors and OAuth callbacks: never a 5xx, and access is denied."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_from_bytes
from uuid import UUID

import pytest
from hypothesis import strategies as st

from fuzzing import MARK, InProcess, Response, checked_status, fuzz
from restwell.auth._signing_keys import from_secrets
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE, REFRESH_COOKIE
from scoreboard import Score
from shop.demo import PASSWORD

JSON = (b"content-type", b"application/json")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
WEBHOOK_SECRET = "whsec_of_the_shop_for_tests"

lines = st.binary().map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"").strip(b" \t"))
"""Valid bytes of a header field."""


def damaged(right: bytes) -> st.SearchStrategy[bytes]:
    """The valid bytes with some changed, removed or added."""
    places = st.integers(0, len(right))
    return st.builds(lambda at, cut, new: right[:at] + new + right[at + cut :], places, st.integers(0, 3), lines)


def post_json(server: InProcess, path: str, body: object, *headers: tuple[bytes, bytes]) -> Response:
    return server.send("POST", path, [JSON, *headers], json.dumps(body).encode())


def sign_in(server: InProcess, email: str) -> dict[str, Any]:
    response = post_json(server, "/v1/sessions", {"email": email, "password": PASSWORD})
    assert response.status == 201, response.body
    signed_in: dict[str, Any] = json.loads(response.body)
    return signed_in


@pytest.mark.scoreboard("T1", "any credentials in a header or a cookie", MARK, backend="SQLite")
def test_no_credentials_cause_a_5xx_or_let_a_stranger_in(server: InProcess, score: Score) -> None:
    tokens = sign_in(server, "customer1@shop.example")
    access, refresh = tokens["access_token"].encode(), tokens["refresh_token"].encode()

    def try_in(given: tuple[int, bytes]) -> Response:
        place, secret = given
        if place == 0:
            response = server.send("GET", "/v1/users/me", [(b"authorization", b"Bearer " + secret)])
        elif place == 1:
            response = server.send("GET", "/v1/users/me", [(b"authorization", secret)])
        elif place == 2:
            response = server.send("GET", "/v1/users/me", [(b"cookie", ACCESS_COOKIE.encode() + b"=" + secret)])
        else:
            cookie = (b"cookie", REFRESH_COOKIE.encode() + b"=" + secret)
            response = server.send("POST", "/v1/sessions/refresh", [cookie, (b"sec-fetch-site", b"same-origin")])
        value = secret.partition(b";")[0] if place > 1 else secret  # a semicolon ends a cookie
        assert response.status >= 400 or value.strip(b" \t") in {access, b"Bearer " + access, refresh}
        return response

    fuzz(score, st.tuples(st.integers(0, 3), lines | damaged(access) | damaged(refresh)), try_in)


@pytest.mark.parametrize("change", ["{}\xa0", "\xa0{}", "{}\x85", "\x1c{}", "{}\x1f", "{}=", "{}\x0b"])
@pytest.mark.parametrize("header", ["authorization", "cookie"])
def test_another_spelling_of_an_access_token_gets_a_401(server: InProcess, header: str, change: str) -> None:
    """Seen to fail: what Unicode calls a space was cut off."""
    token = change.format(sign_in(server, "customer1@shop.example")["access_token"])
    value = f"Bearer {token}" if header == "authorization" else f"{ACCESS_COOKIE}={token}"
    assert server.send("GET", "/v1/users/me", [(header.encode(), value.encode("latin-1"))]).status == 401


@pytest.mark.parametrize(
    "header", [{"crit": 5}, {"crit": None}, {"crit": {}}, {"crit": ["exp"]}, {"kid": 5}, {"alg": {}}]
)
def test_an_access_token_with_a_malformed_header_gets_a_401(server: InProcess, header: dict[str, Any]) -> None:
    """Seen to fail: a token with `"crit": 5` caused a 500."""
    (key,) = from_secrets(["a secret for tests, which is long enough to be one"])
    parts = ({"alg": "HS256", "typ": "at+jwt", "kid": key.id, **header}, {"sub": str(UUID(int=1))})
    said = b".".join(_base64(json.dumps(part).encode()) for part in parts)
    secret = key.key.get_op_key("sign")
    assert isinstance(secret, bytes)
    token = said + b"." + _base64(hmac.digest(secret, said, "sha256"))
    assert checked_status(server.send("GET", "/v1/users/me", [(b"authorization", b"Bearer " + token)])) == "401"


@pytest.mark.scoreboard("T1", "any client of the token endpoint", MARK, backend="SQLite")
def test_no_client_credentials_cause_a_5xx(server: InProcess, score: Score) -> None:
    def ask(given: tuple[bytes, bytes]) -> str:
        header, body = given
        sent = [FORM, *([(b"authorization", header)] if header else [])]
        response = server.send("POST", "/v1/oauth/token", sent, body)
        assert 400 <= response.status < 500, (response.status, response.body)
        assert (
            json.loads(response.body).keys() >= {"error"}
            or response.headers[b"content-type"] == b"application/problem+json"
        )
        return str(response.status)

    basic = lines.map(lambda pair: b"Basic " + _base64(pair)) | lines.map(lambda raw: b"Basic " + raw)
    ids = st.sampled_from(
        ["{00000000-0000-0000-0000-000000000001}", "urn:uuid:" + "0" * 32, "\u0660" * 32, "0_0" * 11, "\x00"]
    )
    forms = st.lists(
        st.tuples(
            st.sampled_from(["grant_type", "client_id", "client_secret", "scope"]),
            ids | st.text(st.characters(codec="utf-8")),
        ),
        max_size=5,
    ).map(lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs).encode())
    fuzz(
        score,
        st.tuples(lines | basic, forms.map(lambda form: b"grant_type=client_credentials&" + form) | forms | lines),
        ask,
    )


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


@pytest.mark.scoreboard("T1", "any cursor", MARK, backend="SQLite")
def test_no_cursor_causes_a_5xx(server: InProcess, score: Score) -> None:
    admin = (b"authorization", b"Bearer " + sign_in(server, "admin@shop.example")["access_token"].encode())
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


@pytest.mark.scoreboard("T1", "any OAuth callback", MARK, backend="SQLite")
def test_no_forged_oauth_callback_opens_a_session(server: InProcess, score: Score) -> None:
    flow = server.app.kit.oauth_flows.start("okta", return_to="/account#x")

    def come_back(given: tuple[str, bytes, Sequence[tuple[str, str]]]) -> Response:
        provider, cookie, parameters = given
        query = "&".join(f"{name}={quote(value)}" for name, value in parameters)
        response = server.send(
            "GET",
            f"/v1/identities/{provider}/callback?{query}",
            [(b"cookie", OAUTH_STATE_COOKIE.encode() + b"=" + cookie)],
        )
        assert response.status >= 300
        assert ACCESS_COOKIE.encode() not in response.headers.get(b"set-cookie", b"")
        if response.status == 303:
            location = response.headers[b"location"].decode()
            assert location.startswith("/account?error=")
            assert location.endswith("#x")
        return response

    parameters = st.lists(
        st.tuples(
            st.sampled_from(["state", "code", "iss", "error"]),
            st.just(flow.state) | st.text(st.characters(codec="utf-8")) | st.just("a" * 3_000),
        ),
        max_size=5,
    )
    right = parameters.map(lambda more: [("state", flow.state), *more])
    cookies = st.just(flow.cookie.encode()) | damaged(flow.cookie.encode())
    fuzz(score, st.tuples(st.sampled_from(["okta", "unknown"]), cookies, parameters | right), come_back)


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")
