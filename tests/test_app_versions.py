"""Several versions of an API in one application, and the end of one."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Final
from uuid import UUID

import httpx
import pytest
from msgspec import Struct

from restwell import Restwell
from restwell.auth import MACHINE, Actor
from restwell.database import open_database
from restwell.edge import _lifecycle_hooks
from restwell.errors import Conflict, Unauthorized
from restwell.settings import RateLimitSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Lifecycle, Version, get, post, public, signed_in, signed_in_or_scope

SUNSET: Final = datetime(2100, 7, 1, tzinfo=UTC)
LIFECYCLE: Final = Lifecycle(deprecated=date(2026, 11, 1), sunset=SUNSET, successor="/v2", guide="/migration")
HEADERS: Final = {
    "deprecation": "@1793491200",
    "sunset": "Thu, 01 Jul 2100 00:00:00 GMT",
    "link": '</migration>; rel="deprecation", </migration>; rel="sunset", </v2>; rel="successor-version"',
}
CLIENT: Final = Actor(UUID(int=7), MACHINE, UUID(int=7), frozenset({"read"}))
USER: Final = Actor(UUID(int=8), "user", UUID(int=9))


class Draft(Struct):
    text: str


class Things(Controller):
    path = "/things"

    @get(cache=public(ttl_seconds=60, tags=["things"], client_seconds=600))
    async def list_things(self) -> list[str]:
        """List things."""
        return ["a thing"]

    @post(guards=[signed_in])
    async def add_thing(self, data: Draft) -> str:
        """Add a thing."""
        raise Conflict if data.text else ValueError

    @get("/all", guards=[signed_in_or_scope("read")])
    async def list_all(self) -> list[str]:
        """List all things."""
        return []


@get("/old", lifecycle=Lifecycle(deprecated=date(2026, 12, 1)))
async def old() -> str:
    """Get something old."""
    return "old"


async def authenticate(token: str) -> Actor:
    if token not in {"client", "user"}:
        raise Unauthorized
    return CLIENT if token == "client" else USER


VERSIONS: Final = [Version("/v1", [Things], lifecycle=LIFECYCLE), Version("/v2", [Things, old])]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The time of the hooks: ``clock.now``."""
    clock = SimpleNamespace(now=SUNSET.timestamp() - 3_600)
    clock.time = lambda: clock.now
    monkeypatch.setattr(_lifecycle_hooks, "time", clock)
    return clock


@pytest.fixture
async def client(tiny_settings: Settings, clock: SimpleNamespace) -> AsyncIterator[httpx.AsyncClient]:
    app = Restwell(tiny_settings, name="things").app(VERSIONS, authenticate=authenticate)
    assert clock.now
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await app.migrations.upgrade(database)
    async with running(app) as connected:
        yield connected


def ends(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in HEADERS if name in answer.headers}


async def test_every_response_of_a_deprecated_version_announces_its_end(client: httpx.AsyncClient) -> None:
    """Fails if the hook follows the cache or the checks of header fields and URLs, or needs a successful response."""
    user = {"authorization": "Bearer user"}
    first = await client.get("/v1/things")
    cached = await client.get("/v1/things")
    assert "hit" in cached.headers["cache-status"]
    answers = {
        200: [first, cached, await client.get("/v1/things/all", headers=user)],
        304: [await client.get("/v1/things", headers={"if-none-match": first.headers["etag"]})],
        401: [await client.post("/v1/things"), await client.get("/v1/things/all", headers={"authorization": "x"})],
        204: [await client.options("/v1/things")],
        400: [await client.get("/v1/things", headers=[("authorization", "a"), ("authorization", "b")])],
        404: [await client.get(f"/v1{path}") for path in ("/nothing", "", "/things/", "//things")],
        414: [await client.get(f"/v1/things?q={'a' * 9_000}")],
        405: [await client.delete("/v1/things")],
        409: [await client.post("/v1/things", headers=user, json={"text": "x"})],
        422: [await client.post("/v1/things", headers=user, json={"text": 1})],
        500: [await client.post("/v1/things", headers=user, json={"text": ""})],
    }
    for status, sent in answers.items():
        for answer in sent:
            assert (answer.status_code, ends(answer)) == (status, HEADERS), answer.request.url
    for path in ("/v2/things", "/v2/nothing", "/v10", "/health/live"):
        assert ends(await client.get(path)) == {}, path
    assert ends(await client.get("/v2/old")) == {"deprecation": "@1796083200"}


async def test_a_request_above_the_rate_limit_learns_of_the_end(tiny_settings: Settings) -> None:
    """Fails if the hook follows the rate limit: the 429 of a client that still calls has no headers."""
    settings = tiny_settings.model_copy(update={"rate_limit": RateLimitSettings(reads=(8, 3_600))})
    app = Restwell(settings, name="things").app(VERSIONS, authenticate=authenticate)
    async with running(app) as client:
        answers = [await client.get("/v1/things") for _ in range(10)]
    assert [(each.status_code, ends(each)) for each in (answers[0], answers[-1])] == [(200, HEADERS), (429, HEADERS)]
    assert answers[-1].headers["retry-after"]


async def test_from_its_sunset_on_a_version_responds_410(client: httpx.AsyncClient, clock: SimpleNamespace) -> None:
    """Decided at each request. Fails if a cached response is sent after the sunset."""
    assert (await client.get("/v1/things")).status_code == 200
    assert "hit" in (await client.get("/v1/things")).headers["cache-status"]
    clock.now = SUNSET.timestamp() - 0.001
    assert (await client.get("/v1/things")).status_code == 200
    clock.now = SUNSET.timestamp()
    for method, path in (("GET", "/v1/things"), ("POST", "/v1/things"), ("GET", "/v1/x"), ("DELETE", "/v1/things")):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["code"], ends(answer)) == (410, "gone", HEADERS)
        assert answer.json()["detail"].endswith("01 July 2100. Use /v2. See /migration.")
    assert (await client.get("/v2/things")).status_code == 200
    assert (await client.get("/v1/openapi.json")).status_code == 200
    clock.now -= 1
    assert (await client.get("/v1/things")).status_code == 200


async def test_no_copy_of_a_response_is_fresh_after_the_sunset(
    client: httpx.AsyncClient, clock: SimpleNamespace
) -> None:
    """Fails if ``max-age`` is that of the route in the last minutes."""
    assert "max-age=600" in (await client.get("/v1/things")).headers["cache-control"]
    clock.now = SUNSET.timestamp() - 90.5
    assert "max-age=90" in (await client.get("/v1/things")).headers["cache-control"]
    assert "max-age=600" in (await client.get("/v2/things")).headers["cache-control"]


async def test_the_metrics_say_who_calls_which_version_and_what_is_deprecated(client: httpx.AsyncClient) -> None:
    """Fails if cached responses are not counted."""
    for token in ("client", "client", "user"):
        await client.get("/v1/things/all", headers={"authorization": f"Bearer {token}"})
    await client.get("/v1/things/all")
    for _ in range(2):  # the second response is a cached one
        await client.get("/v2/things")
    await client.get("/v1/nothing")
    text = (await client.get("/metrics")).text
    by_version = [line for line in text.splitlines() if line.startswith("restwell_api_requests_total{")]
    calls = (
        (CLIENT.id, "/v1", "2.0"),
        ("user", "/v1", "1.0"),
        ("anonymous", "/v1", "1.0"),
        ("anonymous", "/v2", "2.0"),
    )
    assert sorted(by_version) == sorted(
        f'restwell_api_requests_total{{client="{caller}",version="{prefix}"}} {number}'
        for caller, prefix, number in calls
    )
    counted = [line for line in text.splitlines() if line.startswith("restwell_deprecated_requests_total{")]
    name = 'restwell_deprecated_requests_total{client="%s",method="GET",route="/v1/things/all"} %s'
    assert sorted(counted) == sorted([name % (CLIENT.id, "2.0"), name % ("user", "1.0"), name % ("anonymous", "1.0")])


async def test_each_version_has_its_document(client: httpx.AsyncClient) -> None:
    first, second = [(await client.get(f"/{version}/openapi.json")).json() for version in ("v1", "v2")]
    assert (await client.get("/openapi.json")).json() == second
    assert {path for path in first["paths"] if path.startswith("/v")} == {"/v1/things", "/v1/things/all"}
    assert {path for path in second["paths"] if path.startswith("/v")} == {"/v2/things", "/v2/things/all", "/v2/old"}
    listed, kept = first["paths"]["/v1/things"]["get"], second["paths"]["/v2/things"]["get"]
    assert first["info"]["description"].startswith("**Deprecated since 2026-11-01. Responds with 410 from 2100-07-01.")
    assert "Deprecated" not in second["info"]["description"]
    assert (listed["operationId"], listed["deprecated"], listed["x-sunset"]) == (
        kept["operationId"],
        True,
        "2100-07-01T00:00:00+00:00",
    )
    assert listed["description"] == (
        "Deprecated since 2026-11-01. Responds with 410 from 2100-07-01. Use /v2. See /migration."
    )
    assert ("deprecated" in kept, "410" in listed["responses"], "410" in kept["responses"]) == (False, True, False)
    assert second["paths"]["/v2/old"]["get"]["deprecated"]
    page = (await client.get("/docs")).text
    assert page.index('value="/v2/openapi.json">v2<') < page.index('value="/v1/openapi.json">v1 (deprecated)<')


def test_versions_that_contradict_each_other_are_errors(tiny_settings: Settings) -> None:
    kit = Restwell(tiny_settings, name="things")
    with pytest.raises(TypeError, match="two versions have the prefix /v1"):
        kit.app([Version("/v1", [old]), Version("/v1", [Things])], authenticate=authenticate)
    with pytest.raises(TypeError, match=r"old \(GET /v1/old\) ends after /v1: set its sunset to 2100"):
        kit.app([Version("/v1", [old], lifecycle=LIFECYCLE)])
    with pytest.raises(TypeError, match="lifecycle must be a Lifecycle"):
        Version("/v1", [old], lifecycle="2026-11-01")  # type: ignore[arg-type]  # the error
