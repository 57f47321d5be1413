"""Pages of other origins: those that are listed may call, all others may not, and nobody with our cookies."""

from collections.abc import AsyncIterator

import httpx
import pytest

from restwell.settings import CorsSettings, Settings
from restwell.testing import running
from shop.app import create_app
from shop.settings import ShopSettings

OURS = "https://app.example"
PREFLIGHT = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization,content-type"}
PUBLIC = "/v1/products?limit=1"
OTHERS = (
    "https://evil.example",
    "http://app.example",
    "https://app.example.evil.example",
    "https://app.example:8443",
    "HTTPS://APP.EXAMPLE",
    "null",
    "*",
    "",
)


@pytest.fixture
async def open_to_ours(settings: ShopSettings) -> AsyncIterator[httpx.AsyncClient]:
    cors = CorsSettings(origins=(OURS, "http://localhost:3000"))
    async with running(create_app(settings.model_copy(update={"cors": cors}))) as client:
        yield client


def allowed(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_listed_origin_may_send_a_preflight_and_read(open_to_ours: httpx.AsyncClient) -> None:
    asked = await open_to_ours.options("/v1/users/me", headers={"origin": OURS, **PREFLIGHT})
    assert asked.status_code == 204
    assert allowed(asked)["access-control-allow-origin"] == OURS
    assert "PATCH" in allowed(asked)["access-control-allow-methods"]
    assert allowed(asked)["access-control-allow-headers"] == "authorization,content-type"
    assert asked.headers["x-request-id"]
    for _ in range(2):  # made for the first, kept for the second
        for origin in (OURS, "http://localhost:3000"):
            read = await open_to_ours.get(PUBLIC, headers={"origin": origin})
            assert (read.status_code, allowed(read)["access-control-allow-origin"]) == (200, origin)
            assert "ETag" in allowed(read)["access-control-expose-headers"]
    refused = await open_to_ours.get("/v1/users/me", headers={"origin": OURS})
    assert (refused.status_code, allowed(refused)["access-control-allow-origin"]) == (401, OURS), (
        "errors can be read, too"
    )


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_unlisted_origin_gets_no_cors_headers(open_to_ours: httpx.AsyncClient) -> None:
    """Breaks when an origin is compared by its beginning or end, or is given back unseen."""
    for origin in OTHERS:
        assert allowed(await open_to_ours.options("/v1/users/me", headers={"origin": origin, **PREFLIGHT})) == {}
        assert allowed(await open_to_ours.get(PUBLIC, headers={"origin": origin})) == {}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_credentials_are_never_allowed_and_answers_vary_by_origin(open_to_ours: httpx.AsyncClient) -> None:
    for headers in ({}, {"origin": OURS}, {"origin": "https://evil.example"}):
        for path in (PUBLIC, "/v1/users/me"):
            answer = await open_to_ours.get(path, headers=headers)
            assert "access-control-allow-credentials" not in answer.headers
            assert "origin" in answer.headers["vary"].lower()
    plain = await open_to_ours.options("/v1/orders")
    assert (plain.status_code, allowed(plain)) == (204, {})


async def test_no_origin_is_allowed_unless_one_is_listed(client: httpx.AsyncClient) -> None:
    assert allowed(await client.options("/v1/users/me", headers={"origin": OURS, **PREFLIGHT})) == {}
    answer = await client.get(PUBLIC, headers={"origin": OURS})
    assert allowed(answer) == {}
    assert "origin" not in answer.headers.get("vary", "").lower()


def test_listed_origins_are_read_as_browsers_send_them() -> None:
    read = Settings.load({"CORS_ORIGINS": f"{OURS}, http://localhost:3000"}).cors.origins
    assert read == (OURS, "http://localhost:3000")
