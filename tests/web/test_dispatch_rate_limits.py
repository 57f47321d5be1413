"""Rate limits over HTTP: the key a request is counted for, its headers, and the routes without a limit."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api_client import assert_problem
from restwell.settings import RateLimitSettings, Settings
from restwell.testing import ApiClient, running
from tiny.app import GUESSES, create_app

READS, WRITES = 10, 4
NOTES, ACCOUNT = "/v1/notes", "/v1/account"


@pytest.fixture
async def limited(migrated: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind one proxy, with low rates."""
    changes = {
        "rate_limit": RateLimitSettings(reads=(READS, 3_600), writes=(WRITES, 3_600)),
        "runtime_dir": tmp_path_factory.mktemp("limited"),
        "trusted_hops": 1,
    }
    async with running(create_app(migrated.model_copy(update=changes))) as client:
        yield client


async def statuses(client: httpx.AsyncClient, tries: int, path: str = NOTES, **headers: str) -> list[int]:
    return [(await client.get(path, headers=headers)).status_code for _ in range(tries)]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/start.js", "/metrics", "/health/live"])
async def test_documents_and_health_checks_do_not_count_as_reads(limited: httpx.AsyncClient, path: str) -> None:
    """Breaks when they count as reads: one page of documentation sends five requests."""
    sent = {"x-forwarded-for": "192.0.2.1"}
    assert set(await statuses(limited, READS + 1, path, **sent)) == {200}
    header = (await limited.get(path, headers=sent)).headers.get("ratelimit", "none")
    assert header.partition(";")[0] in {'"documents"', "none"}
    assert set(await statuses(limited, READS, **sent)) == {200}


@pytest.mark.parametrize("path", [NOTES, f"{NOTES}?limit=101", ACCOUNT])
async def test_every_read_of_an_address_counts_whatever_its_outcome(limited: httpx.AsyncClient, path: str) -> None:
    """Covers cached responses, responses of the application, and rejections without a token."""
    responses = [await limited.get(path, headers={"x-forwarded-for": "192.0.2.1"}) for _ in range(READS)]
    assert all(response.status_code != 429 for response in responses)
    assert [response.headers["ratelimit"].partition(";t=")[0] for response in responses] == [
        f'"reads";r={remaining}' for remaining in reversed(range(READS))
    ]
    assert {response.headers["ratelimit-policy"] for response in responses} == {f'"reads";q={READS};w=3600'}
    for method in ("GET", "HEAD"):
        refused = await limited.request(method, path, headers={"x-forwarded-for": "192.0.2.1"})
        assert refused.status_code == 429
        assert refused.headers["ratelimit"] == f'"reads";r=0;t={refused.headers["retry-after"]}'
        assert 1 <= int(refused.headers["retry-after"]) <= 3_600 / READS
    refused = await limited.get(path, headers={"x-forwarded-for": "192.0.2.1"})
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["cache-control"] == "no-store"
    assert await statuses(limited, 1, path, **{"x-forwarded-for": "192.0.2.2"}) == [responses[0].status_code]


async def test_a_spoofed_forwarded_address_does_not_raise_the_rate(limited: httpx.AsyncClient) -> None:
    """Breaks when the key is an address that the client wrote itself, or a single address of an IPv6 network."""
    for number in range(READS):
        await limited.get(NOTES, headers={"x-forwarded-for": f"203.0.113.{number}, 192.0.2.1"})
    assert await statuses(limited, 1, **{"x-forwarded-for": "203.0.113.99, 192.0.2.1"}) == [429]
    for number in range(READS):
        await limited.get(NOTES, headers={"x-forwarded-for": f"2001:db8:0:1::{number:x}"})
    assert await statuses(limited, 1, **{"x-forwarded-for": "2001:db8:0:1:ffff::"}) == [429]
    assert await statuses(limited, 1, **{"x-forwarded-for": "2001:db8:0:2::"}) == [200]


async def test_a_signed_in_user_is_counted_across_networks(limited: httpx.AsyncClient) -> None:
    """Breaks when users of one network share a quota, or when a user has a quota per network."""
    owner, guest = ApiClient(limited, "owner"), ApiClient(limited, "guest")
    assert await statuses(limited, READS + 1, **{"x-forwarded-for": "192.0.2.1"}) == [200] * READS + [429]
    for number in range(READS):
        response = await owner.get(ACCOUNT, x_forwarded_for=f"192.0.2.{number}")
        assert response.status_code == 200
    assert_problem(await owner.get(ACCOUNT, x_forwarded_for="192.0.2.77"), 429, "rate_limited")
    assert (await guest.get(ACCOUNT, x_forwarded_for="192.0.2.1")).status_code == 200


async def test_an_invalid_token_does_not_raise_the_rate(limited: httpx.AsyncClient) -> None:
    """Breaks when a request with an invalid token is not counted."""
    responses = [
        await limited.get(ACCOUNT, headers={"authorization": f"Bearer {number}"}) for number in range(READS + 2)
    ]
    assert [response.status_code for response in responses] == [401] * READS + [429] * 2


async def test_writes_have_their_own_rate_and_a_route_may_have_another(limited: httpx.AsyncClient) -> None:
    """Breaks when a declared rate is counted for each of its routes."""
    drafts = [await limited.post(NOTES, json={}) for _ in range(WRITES + 1)]
    assert [draft.status_code for draft in drafts] == [422] * WRITES + [429]
    assert (await limited.get(NOTES)).status_code == 200
    guesses = [await limited.post("/v1/guesses", json={"word": "x"}) for _ in range(GUESSES.count + 1)]
    assert [guess.status_code for guess in guesses] == [201] * GUESSES.count + [429]
    assert_problem(await limited.post("/v1/guesses/hints"), 429, "rate_limited")


async def test_the_body_of_a_rate_limited_request_is_not_read(limited: httpx.AsyncClient) -> None:
    for _ in range(GUESSES.count):
        await limited.post("/v1/guesses", json={"word": "x"})
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    assert (await limited.post("/v1/guesses", content=body())).status_code == 429
    assert not read


@pytest.mark.slow
async def test_health_checks_and_metrics_are_not_limited_and_refusals_are_counted(limited: httpx.AsyncClient) -> None:
    await statuses(limited, READS + 5)
    for path in ("/health/live", "/health/ready", "/metrics"):
        responses = [await limited.get(path) for _ in range(READS + 2)]
        assert {response.status_code for response in responses} == {200}
        assert "ratelimit" not in responses[0].headers
    metrics = (await limited.get("/metrics")).text
    assert 'restwell_rate_limited_total{rate="reads"} 5.0' in metrics
    assert "restwell_rate_limits_degraded 0.0" in metrics


async def test_a_rate_limit_scale_of_zero_limits_nothing(migrated: Settings) -> None:
    changes = {"rate_limit": RateLimitSettings(reads=(1, 3_600), scale=0)}
    async with running(create_app(migrated.model_copy(update=changes))) as client:
        assert await statuses(client, 5) == [200] * 5
        assert "ratelimit" not in (await client.get(NOTES)).headers


async def test_a_proxy_beyond_trusted_hops_is_logged_once(
    migrated: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """All clients of such a proxy share one quota. The log line tells the operator why they are rejected."""
    limits = RateLimitSettings(reads=(2, 3_600))
    changes = {"rate_limit": limits, "runtime_dir": tmp_path / "alone"}
    async with running(create_app(migrated.model_copy(update=changes))) as client:
        assert await statuses(client, 4) == [200, 200, 429, 429]
        assert "TRUSTED_HOPS" not in capfd.readouterr().out
        assert await statuses(client, 3, **{"x-forwarded-for": "192.0.2.1"}) == [429] * 3
    assert capfd.readouterr().out.count("TRUSTED_HOPS") == 1
