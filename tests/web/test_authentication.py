"""Authentication schemes: another scheme of the Authorization header, and a scheme of the application's own."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest

from api_client import assert_problem
from controller_server import settings_in
from fuzzing import InProcess, checked_status, in_process
from restwell import App, Restwell
from restwell.auth import MACHINE, Actor
from restwell.errors import Unauthorized
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import (
    Controller,
    MissingCredentials,
    Request,
    TokenScheme,
    Version,
    get,
    signed_in,
    signed_in_or_scope,
)
from tiny.app import SOMEONE, authenticate


class Guarded(Controller):
    path = "/guarded"

    @get(guards=[signed_in])
    async def read(self, actor: Actor) -> str:
        """Read."""
        return actor.role

    @get("/optional")
    async def read_as_anyone(self, actor: Actor | None) -> str:
        """Read as anyone."""
        return actor.role if actor is not None else "anonymous"

    @get("/scoped", guards=[signed_in_or_scope("notes:read")])
    async def read_scoped(self, actor: Actor) -> str:
        """Read with a scope."""
        return actor.role


async def verify(token: str) -> Actor:
    if token == "machine":
        return Actor(UUID(int=1), MACHINE, UUID(int=1))
    if token == "bare":
        error = Unauthorized("No challenge.")
        error.headers.clear()
        raise error
    return await authenticate(token)


@pytest.fixture
def app(tiny_settings: Settings) -> App:
    return Restwell(tiny_settings, name="guarded").app(
        [Version("/v1", [Guarded])], authenticate=TokenScheme(verify, scheme="Token")
    )


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        yield connected


@pytest.mark.parametrize("header", ["Token owner", "token owner", "TOKEN  owner", "Token owner "])
async def test_the_scheme_of_the_application_is_accepted_in_any_case(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.get("/v1/guarded", headers={"authorization": header})
    assert (answer.status_code, answer.text) == (200, "owner")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer owner", "Token", "Token ", "Tokenowner", "owner", "Basic b3duZXI="]
)
async def test_another_scheme_than_that_of_the_application_is_refused(
    client: httpx.AsyncClient, header: str | None
) -> None:
    """Breaks when the scheme is not compared: a bearer token is then accepted as well."""
    answer = await client.get("/v1/guarded", headers={} if header is None else {"authorization": header})
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Token"
    assert "Authorization: Token" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "token", "status", "challenge"),
    [
        ("", "nobody", 401, 'Token error="invalid_token"'),
        ("", "bare", 401, "Token"),
        ("", "machine", 403, 'Token error="insufficient_scope"'),
        ("/scoped", "machine", 403, 'Token error="insufficient_scope", scope="notes:read"'),
    ],
)
async def test_every_challenge_names_the_scheme_of_the_application(
    client: httpx.AsyncClient, path: str, token: str, status: int, challenge: str
) -> None:
    """Seen to fail: a missing scope was answered with the scheme Bearer, and an error without a challenge was a 500."""
    answer = await client.get(f"/v1/guarded{path}", headers={"authorization": f"Token {token}"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)


def test_the_document_describes_the_scheme_of_the_application(app: App) -> None:
    """Breaks with the bearer scheme of OpenAPI: a generated client sends ``Bearer``."""
    [(name, scheme)] = app.openapi["components"]["securitySchemes"].items()
    assert scheme == {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Token ...`"}
    assert app.openapi["paths"]["/v1/guarded"]["get"]["security"] == [{name: []}]


class ApiKeys:
    """A scheme of an application: a key in its own header."""

    challenge = "ApiKey"
    security = {"api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}
    uses_cookies = False

    async def authenticate(self, request: Request) -> Actor:
        key = request.headers.get("x-api-key")
        if key != "secret":
            raise (MissingCredentials if key is None else Unauthorized)(headers={"www-authenticate": self.challenge})
        return Actor(SOMEONE, "owner", SOMEONE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    kit = Restwell(settings_in(tmp_path_factory.mktemp("keys")), name="keys")
    with in_process(kit.app([Version("/v1", [Guarded])], authenticate=ApiKeys())) as started:
        yield started


def test_an_application_has_its_own_scheme(server: InProcess) -> None:
    """Breaks when guards read the Authorization header themselves."""
    assert server.send("GET", "/v1/guarded", [(b"x-api-key", b"secret")]).body == b"owner"
    refused = server.send("GET", "/v1/guarded", [(b"authorization", b"Bearer owner")])
    assert (checked_status(refused), refused.headers[b"www-authenticate"]) == ("401", b"ApiKey")
    assert server.app.openapi["components"]["securitySchemes"] == ApiKeys.security


def test_sign_in_may_be_optional_with_a_scheme_of_the_application(server: InProcess) -> None:
    """Breaks when only TokenScheme can say that a request has no credentials."""
    assert server.send("GET", "/v1/guarded/optional").body == b"anonymous"
    assert server.send("GET", "/v1/guarded/optional", [(b"x-api-key", b"secret")]).body == b"owner"
    assert checked_status(server.send("GET", "/v1/guarded/optional", [(b"x-api-key", b"guess")])) == "401"


@pytest.mark.parametrize("scheme", [None, ApiKeys()])
def test_session_cookies_without_a_verifier_of_tokens_are_refused(
    tiny_settings: Settings, scheme: ApiKeys | None
) -> None:
    """Seen to fail: the option was ignored, and browsers with a cookie got a 401."""
    with pytest.raises(TypeError, match="session_cookies needs authenticate="):
        Restwell(tiny_settings, name="keys").app([], authenticate=scheme, session_cookies=True)
