"""Authentication by guards: how the access token is read, and what roles and scopes allow."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from api_client import assert_problem
from fuzzing import in_process
from restwell import App, Restwell
from restwell.auth import MACHINE, Actor
from restwell.errors import Unauthorized
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Version, get, requires_role, signed_in, signed_in_or_scope
from tiny.app import SOMEONE

ACTORS = {
    "owner": Actor(SOMEONE, "owner", SOMEONE),
    "guest": Actor(SOMEONE, "guest", SOMEONE),
    "machine": Actor(UUID(int=1), MACHINE, UUID(int=1), frozenset({"notes:read"})),
}


async def authenticate(token: str) -> Actor:
    if token not in ACTORS:
        raise Unauthorized
    return ACTORS[token]


class Guarded(Controller):
    path = "/guarded"

    @get(guards=[signed_in])
    async def of_users(self) -> str:
        """For users."""
        return "done"

    @get("/read", guards=[signed_in_or_scope("notes:read")])
    async def of_users_or_readers(self) -> str:
        """For users, and machines that read."""
        return "done"

    @get("/write", guards=[signed_in_or_scope("notes:write")])
    async def of_users_or_writers(self) -> str:
        """For users, and machines that write."""
        return "done"

    @get("/owned", guards=[requires_role("owner", or_scope="notes:read")])
    async def of_owners_or_readers(self) -> str:
        """For owners, and machines that read."""
        return "done"

    @get("/owned-only", guards=[requires_role("owner")])
    async def of_owners(self) -> str:
        """For owners."""
        return "done"


@pytest.fixture
def app(tiny_settings: Settings) -> App:
    return Restwell(tiny_settings, name="guarded").app([Version("/v1", [Guarded])], authenticate=authenticate)


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        yield connected


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", {"owner", "guest"}),
        ("/read", {"owner", "guest", "machine"}),
        ("/write", {"owner", "guest"}),
        ("/owned", {"owner", "machine"}),
        ("/owned-only", {"owner"}),
    ],
)
async def test_a_guard_allows_its_role_and_its_scope(client: httpx.AsyncClient, path: str, allowed: set[str]) -> None:
    """Breaks when a machine client counts as a user, and when a user needs a scope."""
    for token in ACTORS:
        response = await client.get(f"/v1/guarded{path}", headers={"authorization": f"Bearer {token}"})
        if token in allowed:
            assert (token, response.text) == (token, "done")
        else:
            assert_problem(response, 403, "insufficient_scope" if token == "machine" else "forbidden")


async def test_a_missing_scope_is_named(client: httpx.AsyncClient) -> None:
    """RFC 6750 3.1: the client may then ask for a token with this scope."""
    for path, parameter in (("/write", ', scope="notes:write"'), ("/owned-only", ""), ("", "")):
        refused = await client.get(f"/v1/guarded{path}", headers={"authorization": "Bearer machine"})
        assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope"{parameter}'


def test_the_access_token_is_read_as_http_defines_it(app: App) -> None:
    """Breaks with ``strip()``, when the scheme is compared with its case, and when another scheme is accepted."""
    with in_process(app) as server:
        for value, status, challenge in (
            (b"Bearer owner", 200, None),
            (b"bEARER \t owner\t ", 200, None),
            (b"Bearer \xa0owner", 401, b'Bearer error="invalid_token"'),
            (b"Bearer owner\x85", 401, b'Bearer error="invalid_token"'),
            (b"Bearer unknown", 401, b'Bearer error="invalid_token"'),
            (b"Basic owner", 401, b"Bearer"),
            (b"owner", 401, b"Bearer"),
            (b"Bearer", 401, b"Bearer"),
            (b"", 401, b"Bearer"),
        ):
            response = server.send("GET", "/v1/guarded", [(b"authorization", value)])
            assert (value, response.status, response.headers.get(b"www-authenticate")) == (value, status, challenge)
        assert server.send("GET", "/v1/guarded").headers[b"www-authenticate"] == b"Bearer"
