"""Fuzzed token requests and client credentials: the response is never a 5xx.

Breaks when a parser does not catch an exception of a library, such as that of an unknown codec.
"""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import strategies as st
from msgspec import Struct

from accounts_app import PASSWORD
from fuzzing import MARK, InProcess, Response, fuzz
from mutations import NO_FIELD_VALUE, Choices, from_choices, lines, mutated
from scoreboard import Score

Headers = list[tuple[bytes, bytes]]

FORM: Final = b"application/x-www-form-urlencoded"
JSON: Final = b"application/json"


class Machine(Struct, frozen=True):
    id: str
    secret: str


@pytest.fixture
def machine(server: InProcess) -> Machine:
    def post(path: str, body: object, *headers: tuple[bytes, bytes]) -> bytes:
        response = server.send("POST", path, [(b"content-type", JSON), *headers], json.dumps(body).encode())
        assert response.status == 201, response.body
        return response.body

    tokens = json.loads(post("/v1/sessions", {"email": "admin@app.example", "password": PASSWORD}))
    admin = (b"authorization", b"Bearer " + tokens["access_token"].encode())
    made = json.loads(post("/v1/clients", {"name": "Reader", "scopes": ["events:read", "notes:read"]}, admin))
    return Machine(made["id"], made["secret"])


def test_the_form_that_the_fuzzer_changes_is_valid(server: InProcess, machine: Machine) -> None:
    response = server.send("POST", "/v1/oauth/token", [(b"content-type", FORM)], form_of(Choices(b""), machine))
    assert response.status == 200, response.body


def form_of(choose: Choices, machine: Machine) -> bytes:
    fields = {
        "grant_type": "client_credentials",
        "client_id": machine.id,
        "client_secret": machine.secret,
        "scope": "events:read notes:read",
    }
    what = choose.below(4)
    target = choose.of(tuple(fields))
    pairs = []
    for name, value in fields.items():
        if name != target or what == 0:
            pairs.append(f"{name}={quote(value)}".encode())
            continue
        new = mutated(choose, value.encode())
        shown = mutated(choose, name.encode()) if what == 2 else name.encode()
        pairs += [shown + b"=" + (quote(new).encode() if choose.below(2) else new)] * choose.of((1, 1, 2, 0, 101))
    form = choose.of((b"&", b"&", b"&", b";", b"&&", b"&=&")).join(pairs)
    return mutated(choose, form) if what == 3 else form


def sent_form_of(choose: Choices, machine: Machine) -> tuple[Headers, bytes]:
    body = form_of(choose, machine)
    kind = choose.of((FORM, FORM + b"; charset=utf-8", FORM.upper(), FORM + b";charset=utf-7", JSON))
    headers = [(b"content-type", mutated(choose, kind) if choose.below(3) == 2 else kind)]
    if choose.below(3) == 2:
        pair = f"{machine.id}:{machine.secret}".encode()
        encoded = b64encode(mutated(choose, pair)) if choose.below(2) else mutated(choose, b64encode(pair))
        headers.append((b"authorization", choose.of((b"Basic ", b"basic ", b"Basic", b"Bearer ", b"")) + encoded))
    return [(name, value.translate(None, NO_FIELD_VALUE).strip()) for name, value in headers], body


@pytest.mark.scoreboard("T1", "any form", MARK, backend="SQLite")
def test_no_urlencoded_form_causes_a_5xx(server: InProcess, machine: Machine, score: Score) -> None:
    """The form is an OAuth 2.0 token request. Its errors are OAuth errors instead of problems."""

    def send(given: tuple[Headers, bytes]) -> Response | str:
        response = server.send("POST", "/v1/oauth/token", *given)
        if 400 <= response.status < 500 and response.headers[b"content-type"] == JSON:
            assert json.loads(response.body).keys() == {"error", "error_description"}
            return str(response.status)
        return response

    fuzz(score, from_choices(lambda choose: sent_form_of(choose, machine), size=32), send)


@pytest.mark.slow
@pytest.mark.scoreboard("T1", "any client of the token endpoint", MARK, backend="SQLite")
def test_no_client_credentials_cause_a_5xx(server: InProcess, score: Score) -> None:
    def ask(given: tuple[bytes, bytes]) -> str:
        header, body = given
        sent = [(b"content-type", FORM), *([(b"authorization", header)] if header else [])]
        response = server.send("POST", "/v1/oauth/token", sent, body)
        assert 400 <= response.status < 500, (response.status, response.body)
        assert (
            json.loads(response.body).keys() >= {"error"}
            or response.headers[b"content-type"] == b"application/problem+json"
        )
        return str(response.status)

    basic = lines.map(lambda pair: b"Basic " + urlsafe_b64encode(pair).rstrip(b"=")) | lines.map(
        lambda raw: b"Basic " + raw
    )
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
