"""Authentication by guards: how the access token is read, and what roles and scopes allow."""

from collections.abc import AsyncIterator
from typing import Any
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
from restwell.web import (
    Controller,
    Version,
    get,
    post,
    requires_role,
    signed_in,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from tiny.app import SOMEONE

READ, WRITE = frozenset({"notes:read"}), frozenset({"notes:write"})
ACTORS = {
    "owner": Actor(SOMEONE, "owner", SOMEONE),
    "guest": Actor(SOMEONE, "guest", SOMEONE),
    "owner's key": Actor(SOMEONE, "owner", SOMEONE, READ),
    "owner's other key": Actor(SOMEONE, "owner", SOMEONE, WRITE),
    "guest's key": Actor(SOMEONE, "guest", SOMEONE, READ),
    "machine": Actor(UUID(int=1), MACHINE, UUID(int=1), READ),
    "other machine": Actor(UUID(int=1), MACHINE, UUID(int=1), WRITE),
    "bare machine": Actor(UUID(int=1), MACHINE, UUID(int=1)),
}
NO_KEYS = "API keys and other tokens with scopes cannot use this operation. Sign in as a user."
NO_CLIENTS = "OAuth clients cannot use this operation. Sign in as a user."
USERS = {"owner", "guest"}
KEYS = {"owner's key", "guest's key"}
MACHINES = {"machine"}


async def authenticate(token: str) -> Actor:
    if token not in ACTORS:
        raise Unauthorized
    return ACTORS[token]


class Guarded(Controller):
    path = "/guarded"

    @get("/signed-in", guards=[signed_in])
    async def of_users(self) -> str:
        """For users."""
        return "done"

    @get("/api-key", guards=[signed_in_or_api_key("notes:read")])
    async def of_users_or_keys(self) -> str:
        """For users, and keys that read."""
        return "done"

    @get("/scope", guards=[signed_in_or_scope("notes:read")])
    async def of_users_or_readers(self) -> str:
        """For users, and keys and machines that read."""
        return "done"

    @get("/role", guards=[requires_role("owner")])
    async def of_owners(self) -> str:
        """For owners."""
        return "done"

    @get("/roles", guards=[requires_role("guest", "owner")])
    async def of_both(self) -> str:
        """For both roles."""
        return "done"

    @get("/role-or-scope", guards=[requires_role("admin", "owner", or_scope="notes:read")])
    async def of_owners_or_readers(self) -> str:
        """For owners, and machines that read."""
        return "done"

    @get("/optional")
    async def of_anyone(self, actor: Actor | None) -> str:
        """For anyone."""
        return "anonymous" if actor is None else "done"

    @post("/optional", status_code=200)
    async def change_of_anyone(self, actor: Actor | None = None) -> str:
        """For anyone."""
        return "anonymous" if actor is None else "done"


@pytest.fixture
def app(tiny_settings: Settings) -> App:
    return Restwell(tiny_settings, name="guarded").app(
        [Version("/v1", [Guarded])], authenticate=authenticate, session_cookies=True
    )


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        yield connected


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/signed-in", USERS),
        ("/api-key", USERS | KEYS),
        ("/scope", USERS | KEYS | MACHINES),
        ("/role", {"owner"}),
        ("/roles", USERS),
        ("/role-or-scope", {"owner", "owner's key"} | MACHINES),
        ("/optional", USERS),
    ],
)
async def test_a_guard_allows_exactly_its_callers(client: httpx.AsyncClient, path: str, allowed: set[str]) -> None:
    """Breaks when a key passes without its scope or without the role of its user, and when a user needs a scope."""
    for token in ACTORS:
        response = await client.get(f"/v1/guarded{path}", headers={"authorization": f"Bearer {token}"})
        if token in allowed:
            assert (token, response.text) == (token, "done")
        else:
            lacks_only_role = token == "guest" or (token == "guest's key" and path == "/role-or-scope")
            assert_problem(response, 403, "forbidden" if lacks_only_role else "insufficient_scope")


@pytest.mark.parametrize(
    ("token", "path", "parameter", "detail"),
    [
        ("other machine", "/scope", ', scope="notes:read"', "The token does not have the required scope."),
        ("owner's other key", "/api-key", ', scope="notes:read"', "The token does not have the required scope."),
        ("machine", "/api-key", "", NO_CLIENTS),
        ("machine", "/role", "", NO_CLIENTS),
        ("owner's key", "/role", "", NO_KEYS),
        ("owner's key", "/signed-in", "", NO_KEYS),
        ("owner's key", "/optional", "", NO_KEYS),
    ],
)
async def test_a_refusal_names_the_missing_scope_or_that_no_scope_suffices(
    client: httpx.AsyncClient, token: str, path: str, parameter: str, detail: str
) -> None:
    """RFC 6750 3.1: with the name, the client may ask for a token with this scope."""
    refused = await client.get(f"/v1/guarded{path}", headers={"authorization": f"Bearer {token}"})
    assert refused.headers["www-authenticate"] == f'Bearer error="insufficient_scope"{parameter}'
    assert refused.json()["detail"] == detail


@pytest.mark.parametrize("roles", [(), (["owner", "admin"],), (None,)])
def test_a_guard_without_a_role_is_refused_where_it_is_declared(roles: tuple[Any, ...]) -> None:
    """Breaks without the check: the guard would refuse everybody."""
    with pytest.raises(TypeError, match=r'takes the roles one by one, as in requires_role\("editor", "admin"\)'):
        requires_role(*roles)


@pytest.mark.parametrize(
    ("headers", "expected"), [({}, "anonymous"), ({"cookie": "theme=dark; __Host-access="}, "anonymous")]
)
async def test_a_request_without_credentials_is_anonymous_where_sign_in_is_optional(
    client: httpx.AsyncClient, headers: dict[str, str], expected: str
) -> None:
    assert (await client.get("/v1/guarded/optional", headers=headers)).text == expected
    assert (await client.post("/v1/guarded/optional", headers=headers)).text == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer expired"},
        {"authorization": "Bearer "},
        {"authorization": ""},
        {"authorization": "Basic b3duZXI="},
        {"cookie": "__Host-access=expired"},
    ],
)
async def test_wrong_credentials_are_refused_where_sign_in_is_optional(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """Breaks when every Unauthorized makes the request anonymous: a user whose session ended would not notice."""
    assert_problem(await client.get("/v1/guarded/optional", headers=headers), 401, "unauthorized")


async def test_a_cookie_of_another_site_does_not_sign_in_where_it_is_optional(client: httpx.AsyncClient) -> None:
    """Breaks when the cookie is read without the check of the origin, and when such a request becomes anonymous."""
    cookie = {"cookie": "__Host-access=owner"}
    assert (await client.get("/v1/guarded/optional", headers=cookie)).text == "done"
    refused = await client.post("/v1/guarded/optional", headers={**cookie, "sec-fetch-site": "cross-site"})
    assert_problem(refused, 403, "cross_site_request")
    own = await client.post("/v1/guarded/optional", headers={**cookie, "sec-fetch-site": "same-origin"})
    assert own.text == "done"


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
            response = server.send("GET", "/v1/guarded/signed-in", [(b"authorization", value)])
            assert (value, response.status, response.headers.get(b"www-authenticate")) == (value, status, challenge)
        assert server.send("GET", "/v1/guarded/signed-in").headers[b"www-authenticate"] == b"Bearer"
