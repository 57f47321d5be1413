"""The code of docs/tokens.md, as an application with a real issuer."""

import re
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import pytest

from api_client import assert_problem
from loopback_issuer import METADATA_PATH, LoopbackIssuer, loopback_issuer
from restwell.settings import Settings
from restwell.testing import running
from servers import ROOT

PAGE = (ROOT / "docs/tokens.md").read_text()
URL = "https://id.example.com/realms/shop"


@pytest.fixture
async def issuer() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
async def client(migrated: Settings, issuer: LoopbackIssuer) -> AsyncIterator[httpx.AsyncClient]:
    (code,) = re.findall(r"<!-- module: orders -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert URL in code
    module = ModuleType("orders")
    exec(code.replace(URL, issuer.url), module.__dict__)  # noqa: S102  # the page of this repository
    async with running(module.create_app(migrated)) as connected:
        yield connected


def bearer(issuer: LoopbackIssuer, **claims: Any) -> dict[str, str]:
    token = issuer.access_token(header={"typ": "JWT"}, tenant="acme", **claims)
    return {"authorization": f"Bearer {token}"}


@pytest.mark.slow
async def test_the_application_accepts_the_tokens_of_the_issuer(
    client: httpx.AsyncClient, issuer: LoopbackIssuer
) -> None:
    """Breaks when a machine passes as a user, when scopes of OpenID Connect limit a user, or claims are lost."""
    job = {"sub": "job", "client_id": "job"}
    answer = await client.get("/v1/orders", headers=bearer(issuer, scope="orders:read"))
    assert (answer.status_code, answer.json()) == (200, ["an order of acme"])
    assert (await client.get("/v1/orders", headers=bearer(issuer, scope="orders:read", **job))).status_code == 200
    refused = await client.get("/v1/orders", headers=bearer(issuer, scope="orders:write", **job))
    assert_problem(refused, 403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="orders:read"'

    admin = bearer(issuer, realm_access={"roles": ["user", "admin"]}, scope="orders:read")
    assert (await client.get("/v1/orders/all", headers=admin)).status_code == 200
    for scope, status in (("openid email", 200), ("orders:write", 403), ("", 200)):
        limited = bearer(issuer, realm_access={"roles": ["admin"]}, scope=scope)
        assert (scope, (await client.get("/v1/orders/all", headers=limited)).status_code) == (scope, status)
    user = bearer(issuer, realm_access={"roles": ["user"]}, scope="orders:read")
    assert_problem(await client.get("/v1/orders/all", headers=user), 403, "forbidden")


async def test_a_request_without_a_valid_token_is_unauthorized(
    client: httpx.AsyncClient, issuer: LoopbackIssuer
) -> None:
    without = await client.get("/v1/orders")
    assert_problem(without, 401, "unauthorized")
    assert without.headers["www-authenticate"] == "Bearer"
    for claims in ({"exp": 1}, {"aud": "billing"}, {"realm_access": 5}):
        refused = await client.get("/v1/orders", headers=bearer(issuer, **claims))
        assert_problem(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_the_application_starts_and_answers_while_the_issuer_is_down(
    client: httpx.AsyncClient, issuer: LoopbackIssuer
) -> None:
    """Breaks when the start needs the issuer, or when its outage is a 401 or a 500."""
    issuer.answers[METADATA_PATH] = 503, {}
    assert (await client.get("/openapi.json")).status_code == 200
    assert issuer.requests == []
    refused = await client.get("/v1/orders", headers=bearer(issuer))
    assert_problem(refused, 503, "service_unavailable")
    assert refused.headers["retry-after"] == "1"
