"""CORS: listed origins may call the API, without credentials; other origins may not."""

from collections.abc import AsyncIterator

import httpx
import pytest

from restwell.settings import CorsSettings, Settings
from restwell.testing import running
from tiny.app import create_app

LISTED = "https://app.example"
PREFLIGHT = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization,content-type"}
PUBLIC = "/v1/notes?limit=1"
GUARDED = "/v1/account"
UNLISTED = (
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
async def listed_client(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    cors = CorsSettings(origins=(LISTED, "http://localhost:3000"))
    async with running(create_app(migrated.model_copy(update={"cors": cors}))) as client:
        yield client


def allowed(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_a_listed_origin_may_send_a_preflight_and_read(listed_client: httpx.AsyncClient) -> None:
    asked = await listed_client.options(GUARDED, headers={"origin": LISTED, **PREFLIGHT})
    assert asked.status_code == 204
    assert allowed(asked)["access-control-allow-origin"] == LISTED
    assert "PATCH" in allowed(asked)["access-control-allow-methods"]
    assert allowed(asked)["access-control-allow-headers"] == "authorization,content-type"
    assert asked.headers["x-request-id"]
    for _ in range(2):  # first from the application, then from the cache
        for origin in (LISTED, "http://localhost:3000"):
            read = await listed_client.get(PUBLIC, headers={"origin": origin})
            assert (read.status_code, allowed(read)["access-control-allow-origin"]) == (200, origin)
            exposed = allowed(read)["access-control-expose-headers"].split(", ")
            assert {"ETag", "Deprecation", "Sunset"} <= {*exposed}
    refused = await listed_client.get(GUARDED, headers={"origin": LISTED})
    assert (refused.status_code, allowed(refused)["access-control-allow-origin"]) == (401, LISTED), (
        "errors are readable, too"
    )


async def test_an_unlisted_origin_gets_no_cors_headers(listed_client: httpx.AsyncClient) -> None:
    """Breaks when an origin is compared by its prefix or suffix, or is reflected without a check."""
    for origin in UNLISTED:
        assert allowed(await listed_client.options(GUARDED, headers={"origin": origin, **PREFLIGHT})) == {}
        assert allowed(await listed_client.get(PUBLIC, headers={"origin": origin})) == {}


async def test_credentials_are_never_allowed_and_responses_vary_by_origin(listed_client: httpx.AsyncClient) -> None:
    for headers in ({}, {"origin": LISTED}, {"origin": "https://evil.example"}):
        for path in (PUBLIC, GUARDED):
            response = await listed_client.get(path, headers=headers)
            assert "access-control-allow-credentials" not in response.headers
            assert "origin" in response.headers["vary"].lower()
    plain = await listed_client.options(GUARDED)
    assert (plain.status_code, allowed(plain)) == (204, {})


async def test_no_origin_is_allowed_unless_one_is_listed(tiny: httpx.AsyncClient) -> None:
    assert allowed(await tiny.options(GUARDED, headers={"origin": LISTED, **PREFLIGHT})) == {}
    response = await tiny.get(PUBLIC, headers={"origin": LISTED})
    assert allowed(response) == {}
    assert "origin" not in response.headers.get("vary", "").lower()


def test_listed_origins_are_read_as_browsers_send_them() -> None:
    read = Settings.load({"CORS_ORIGINS": f"{LISTED}, http://localhost:3000"}).cors.origins
    assert read == (LISTED, "http://localhost:3000")
