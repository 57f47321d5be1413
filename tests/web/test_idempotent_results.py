"""What an idempotent route may take and return besides Structs."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from api_client import assert_problem
from restwell import Restwell
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Cookie, Response, Version, created, post, signed_in
from tiny.app import authenticate


class Secret(BaseModel):
    name: str
    password: SecretStr


class Things(Controller):
    path = "/things"
    guards = [signed_in]

    @post(idempotent=True)
    async def add(self, data: Secret) -> Response[Secret]:
        """Add."""
        return created(data, data.name)

    @post("/text", idempotent=True)
    async def add_text(self) -> str:
        """Add a text."""
        return "\u20ac"

    @post("/silently", idempotent=True)
    async def add_silently(self) -> None:
        """Add nothing."""

    @post("/cookie", idempotent=True)
    async def add_cookie(self) -> Response[str]:
        """Set a cookie."""
        return Response(content="text", cookies=[Cookie("session", "secret", 60)])


@pytest.fixture
async def client(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = Restwell(migrated, name="things").app([Version("/v1", [Things])], authenticate=authenticate)
    async with running(app) as connected:
        connected.headers.update({"authorization": "Bearer owner", "idempotency-key": "1"})
        yield connected


async def test_a_model_with_another_secret_is_another_request(client: httpx.AsyncClient) -> None:
    """Seen to fail: the request was compared as it is encoded, with stars for a secret, and got that response."""
    first = await client.post("/v1/things", json={"name": "a", "password": "one"})
    again = await client.post("/v1/things", json={"name": "a", "password": "one"})
    assert (first.status_code, first.headers["location"]) == (201, "/v1/things/a")
    assert (again.text, again.headers["idempotent-replayed"]) == (first.text, "true")
    other = await client.post("/v1/things", json={"name": "a", "password": "two"})
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("path", "status", "media_type", "text"),
    [("text", 201, "text/plain; charset=utf-8", "\u20ac"), ("silently", 204, None, "")],
)
async def test_a_repeated_response_has_its_media_type(
    client: httpx.AsyncClient, path: str, status: int, media_type: str | None, text: str
) -> None:
    """Seen to fail: every response of an idempotent route was JSON."""
    for replayed in (None, "true"):
        answer = await client.post(f"/v1/things/{path}")
        assert (answer.status_code, answer.headers.get("content-type"), answer.text) == (status, media_type, text)
        assert answer.headers.get("idempotent-replayed") == replayed


async def test_a_cookie_of_an_idempotent_route_is_an_internal_error(client: httpx.AsyncClient) -> None:
    """Breaks when it is stored: the session of a user is then in the database as text."""
    assert_problem(await client.post("/v1/things/cookie"), 500, "internal_error")
