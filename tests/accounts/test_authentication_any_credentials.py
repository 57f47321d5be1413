"""Fuzzed access and refresh tokens, in headers and cookies: never a 5xx, and access is denied."""

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from accounts_app import PASSWORD
from fuzzing import MARK, InProcess, Response, checked_status, fuzz
from mutations import damaged, lines
from restwell.auth._signing_keys import from_secrets
from restwell.web import ACCESS_COOKIE, REFRESH_COOKIE
from scoreboard import Score

JSON = (b"content-type", b"application/json")


def post_json(server: InProcess, path: str, body: object, *headers: tuple[bytes, bytes]) -> Response:
    return server.send("POST", path, [JSON, *headers], json.dumps(body).encode())


def create_key(server: InProcess, access_token: str) -> bytes:
    draft = {"name": "a script", "scopes": ["notes:read"], "current_password": PASSWORD}
    bearer = (b"authorization", b"Bearer " + access_token.encode())
    response = post_json(server, "/v1/users/me/api-keys", draft, bearer)
    assert response.status == 201, response.body
    key: str = json.loads(response.body)["key"]
    return key.encode()


def sign_in(server: InProcess, email: str) -> dict[str, Any]:
    response = post_json(server, "/v1/sessions", {"email": email, "password": PASSWORD})
    assert response.status == 201, response.body
    signed_in: dict[str, Any] = json.loads(response.body)
    return signed_in


@pytest.mark.slow
@pytest.mark.scoreboard("T1", "any credentials in a header or a cookie", MARK, backend="SQLite")
def test_no_credentials_cause_a_5xx_or_let_a_stranger_in(server: InProcess, score: Score) -> None:
    tokens = sign_in(server, "member@app.example")
    access, refresh = tokens["access_token"].encode(), tokens["refresh_token"].encode()
    key = create_key(server, sign_in(server, "admin@app.example")["access_token"])

    def try_in(given: tuple[int, bytes]) -> Response:
        place, secret = given
        if place == 0:
            response = server.send("GET", "/v1/users/me", [(b"authorization", b"Bearer " + secret)])
        elif place == 1:
            response = server.send("GET", "/v1/users/me", [(b"authorization", secret)])
        elif place == 2:
            response = server.send("GET", "/v1/users/me", [(b"cookie", ACCESS_COOKIE.encode() + b"=" + secret)])
        elif place == 3:
            response = server.send("GET", "/v1/notes/count", [(b"authorization", b"Bearer " + secret)])
            assert response.status >= 400 or secret.strip(b" \t") == key
            return response
        else:
            cookie = (b"cookie", REFRESH_COOKIE.encode() + b"=" + secret)
            headers = [JSON, cookie, (b"sec-fetch-site", b"same-origin")]
            response = server.send("POST", "/v1/sessions/refresh", headers, b"{}")
            assert response.status != 415, "the cookie is not reached"
        value = secret.partition(b";")[0] if place > 1 else secret  # a semicolon ends a cookie
        assert response.status >= 400 or value.strip(b" \t") in {access, b"Bearer " + access, refresh}
        return response

    fuzz(score, st.tuples(st.integers(0, 4), lines | damaged(access) | damaged(refresh) | damaged(key)), try_in)


@pytest.mark.parametrize("change", ["{}\xa0", "\xa0{}", "{}\x85", "\x1c{}", "{}\x1f", "{}=", "{}\x0b"])
@pytest.mark.parametrize("header", ["authorization", "cookie"])
def test_another_spelling_of_an_access_token_gets_a_401(server: InProcess, header: str, change: str) -> None:
    """Seen to fail: what Unicode calls a space was cut off."""
    token = change.format(sign_in(server, "member@app.example")["access_token"])
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


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")
