"""Fuzzed JSON bodies at every route: the response is never a 5xx, and the event loop is never blocked.

Breaks when an exception of a decoder is not caught, or of the parser of a date, an email address or an id.
"""

import json
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from fuzzing import MARK, InProcess, Response, fuzz
from mutations import Choices, from_choices, mutated_json
from scoreboard import Score
from shop.demo import PASSWORD

JSON: Final = "application/json"
DOCUMENTS: Final = [
    json.loads(Path(__file__).with_name(f"openapi-{version}.json").read_bytes()) for version in ("v1", "v2")
]
SOME_ID: Final = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
BODIES: Final[list[tuple[str, str, str, Any]]] = [
    (method.upper(), path, kind, json.loads(json.dumps(content["example"])))
    for document in DOCUMENTS
    for path, methods in document["paths"].items()
    for method, operation in methods.items()
    for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    if kind.endswith("json") and content["example"]
]
WITH_PASSWORD: Final = [one for one in BODIES if any("password" in name for name in one[3])]
"""Hashing a password is slow, outside of the event loop."""
QUICK: Final = [one for one in BODIES if one not in WITH_PASSWORD]


def request_of(choose: Choices) -> tuple[str, str, str, bytes]:
    method, path, kind, right = choose.of(WITH_PASSWORD if choose.below(32) == 31 else QUICK)
    return method, path, kind, mutated_json(choose, right)


@pytest.mark.scoreboard("T1", "any JSON body", MARK, backend="SQLite")
def test_no_json_body_causes_a_5xx(server: InProcess, score: Score) -> None:
    """The sender is an admin, or another user on routes that can change a password."""

    def sign_in(name: str) -> bytes:
        account = json.dumps({"email": f"{name}@shop.example", "password": PASSWORD}).encode()
        response = server.send("POST", "/v1/sessions", [(b"content-type", JSON.encode())], account)
        token: str = json.loads(response.body)["access_token"]
        return b"Bearer " + token.encode()

    admin, customer = sign_in("admin"), sign_in("customer2")
    with_password = {one[1] for one in WITH_PASSWORD}
    product = json.loads(server.send("GET", "/v1/products?limit=1").body)["items"][0]["id"]

    def send(given: tuple[str, str, str, bytes]) -> Response:
        method, path, kind, body = given
        headers = [
            (b"authorization", customer if path in with_password else admin),
            (b"content-type", kind.encode()),
            (b"idempotency-key", uuid4().bytes.hex().encode()),
            (b"if-match", b"*"),
        ]
        target = path.replace("{product_id}", product).replace("{user_id}", SOME_ID)
        return server.send(method, target, headers, body)

    fuzz(score, from_choices(request_of, size=40), send)
