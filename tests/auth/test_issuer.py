"""The documents of an issuer: fetched once for all callers, again for a new key, and kept while it is down."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from loopback_issuer import METADATA_PATH, LoopbackIssuer, broken, loopback_issuer, new_key, slow
from restwell.auth import _issuer as issuers
from restwell.auth._http import MAX_RESPONSE_BYTES, open_client
from restwell.auth._issuer import Issuer, IssuerUnavailable, Metadata, oauth_metadata_url, openid_metadata_url

OAUTH_PATH = "/.well-known/oauth-authorization-server"


@pytest.fixture
async def server() -> AsyncIterator[LoopbackIssuer]:
    async with loopback_issuer() as started:
        yield started


@pytest.fixture
def issuer(server: LoopbackIssuer) -> Issuer[Metadata]:
    return issuer_of(server.url)


def issuer_of(url: str, retry_seconds: float = 0.0) -> Issuer[Metadata]:
    urls = [openid_metadata_url(url), oauth_metadata_url(url)]
    http = open_client(keep_connections=False)
    return Issuer(url, http, Metadata, metadata_urls=urls, retry_seconds=retry_seconds)


class Clock:
    """The monotonic clock of the issuer's cache, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0.0
        monkeypatch.setattr(issuers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + self.passed))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def test_nothing_is_fetched_before_the_first_use(server: LoopbackIssuer, issuer: Issuer[Metadata]) -> None:
    """Breaks when an application needs its issuer to start."""
    assert server.requests == []
    assert [key.kid for key in (await issuer.get()).keys] == ["1"]
    await issuer.get()
    assert server.requests == [f"GET {METADATA_PATH}", "GET /jwks"]


async def test_concurrent_callers_share_one_fetch_also_if_the_first_is_cancelled(
    server: LoopbackIssuer, issuer: Issuer[Metadata]
) -> None:
    """Breaks when the fetch is the first caller's: its disconnect would fail the others."""
    callers = [asyncio.create_task(issuer.get()) for _ in range(20)]
    await asyncio.sleep(0)
    callers[0].cancel()
    found = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(documents is found[1] for documents in found[1:])
    assert server.count("/jwks") == 1


async def test_metadata_is_found_where_oauth_servers_have_it(server: LoopbackIssuer) -> None:
    """RFC 8414 3.1: before the path of the issuer. Breaks when only OpenID Connect's place is asked."""
    url = f"{server.url}/realms/shop"
    server.answers[f"{OAUTH_PATH}/realms/shop"] = 200, {**server.metadata, "issuer": url}
    server.answers[f"/realms/shop{METADATA_PATH}"] = 404, b"<html>"
    assert (await issuer_of(url).get()).metadata.issuer == url
    server.answers[f"/realms/shop{METADATA_PATH}"] = 503, b""
    with pytest.raises(IssuerUnavailable, match="503"):
        await issuer_of(url).get()


async def test_an_endpoint_with_another_scheme_is_not_called(server: LoopbackIssuer, issuer: Issuer[Metadata]) -> None:
    """Breaks without the comparison: metadata with http:// endpoints would take the keys out of TLS."""
    server.answers[METADATA_PATH] = 200, {**server.metadata, "jwks_uri": "https://id.example/jwks"}
    with pytest.raises(IssuerUnavailable, match="an endpoint that is not http://"):
        await issuer.get()


REFUSED: dict[str, tuple[str, Any]] = {
    "another issuer": (METADATA_PATH, lambda url: (200, {"issuer": f"{url}/", "jwks_uri": f"{url}/jwks"})),
    "no issuer": (METADATA_PATH, lambda url: (200, {"jwks_uri": f"{url}/jwks"})),
    "keys in a file": (METADATA_PATH, lambda url: (200, {"issuer": url, "jwks_uri": "file:///etc/passwd"})),
    "a list": (METADATA_PATH, lambda _: (200, [])),
    "a redirect": ("/jwks", lambda _: (302, {"keys": []})),
    "no keys": ("/jwks", lambda _: (200, {"keys": []})),
    "deep": ("/jwks", lambda _: (200, b"[" * 100_000)),
    "too large": ("/jwks", lambda _: (200, b" " * MAX_RESPONSE_BYTES + b"{}")),
    "ends early": ("/jwks", lambda _: broken),
    "not found": ("/jwks", lambda _: (404, b"")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_an_invalid_document_is_not_used(server: LoopbackIssuer, issuer: Issuer[Metadata], case: str) -> None:
    """Breaks without the comparison of the issuer, or without a limit of the size."""
    path, answer = REFUSED[case]
    server.answers[path] = answer(server.url)
    with pytest.raises(IssuerUnavailable):
        await issuer.get()
    assert "GET /" not in server.requests, "no redirect is followed"


async def test_a_slow_issuer_is_unavailable(
    server: LoopbackIssuer, issuer: Issuer[Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks with a timeout of each read only: a byte now and then would hold every request."""
    monkeypatch.setattr("restwell.auth._http.TIMEOUT_SECONDS", 0.1)
    server.answers["/jwks"] = slow
    async with asyncio.timeout(5):
        with pytest.raises(IssuerUnavailable):
            await issuer.get()


async def test_old_documents_are_renewed_without_making_a_caller_wait(
    server: LoopbackIssuer, issuer: Issuer[Metadata], clock: Clock
) -> None:
    first = await issuer.get()
    clock.passed = issuers.TTL_SECONDS - 1
    await issuer.get()
    assert server.count("/jwks") == 1
    server.rotate("2")
    clock.passed = issuers.TTL_SECONDS + 1
    assert await issuer.get() is first
    await _until(lambda: server.count("/jwks") == 2)
    await _until(lambda: issuer._documents is not first)
    assert [key.kid for key in (await issuer.get()).keys] == ["2"]


async def test_the_keys_stay_in_use_while_the_issuer_is_down_for_a_day_at_most(
    server: LoopbackIssuer, issuer: Issuer[Metadata], clock: Clock
) -> None:
    """Breaks when an outage ends all requests, and when it keeps a key of a stopped issuer valid for ever."""
    first = await issuer.get()
    server.answers[METADATA_PATH] = 500, {}
    clock.passed = issuers.MAX_AGE_SECONDS - 60
    assert await issuer.get() is first
    await _until(lambda: issuer._failure is not None)
    assert await issuer.get() is first
    clock.passed = issuers.MAX_AGE_SECONDS + 60
    with pytest.raises(IssuerUnavailable, match="responded 500"):
        await issuer.get()
    del server.answers[METADATA_PATH]
    assert (await issuer.get()).keys is first.keys, "the same keys are the same object"


async def test_a_failed_fetch_is_repeated_only_after_a_while(server: LoopbackIssuer, clock: Clock) -> None:
    """Breaks when each request of an outage waits for a fetch of its own."""
    issuer = issuer_of(server.url, retry_seconds=1)
    server.answers[METADATA_PATH] = 500, {}
    for _ in range(3):
        with pytest.raises(IssuerUnavailable):
            await issuer.get()
    assert server.count(METADATA_PATH) == 1
    del server.answers[METADATA_PATH]
    clock.passed = 1.1
    await issuer.get()


async def test_old_documents_are_not_renewed_again_right_after_a_failure(server: LoopbackIssuer, clock: Clock) -> None:
    """Breaks when each request of an outage starts a fetch, also if none waits for it."""
    issuer = issuer_of(server.url, retry_seconds=1)
    await issuer.get()
    server.answers[METADATA_PATH] = 500, {}
    clock.passed = issuers.TTL_SECONDS + 1
    await issuer.get()
    await _until(lambda: issuer._failure is not None)
    for _ in range(3):
        await issuer.get()
        await asyncio.sleep(0.01)
    assert server.count(METADATA_PATH) == 2
    clock.passed += 1
    await issuer.get()
    await _until(lambda: server.count(METADATA_PATH) == 3)


async def test_unknown_keys_share_one_fetch_in_some_seconds(
    server: LoopbackIssuer, issuer: Issuer[Metadata], clock: Clock
) -> None:
    """Breaks without the limit: each random key id would be a request to the issuer."""
    await issuer.get()
    server.rotate("2")
    found = await asyncio.gather(*(issuer.refresh() for _ in range(20)))
    assert {key.kid for documents in found for key in documents.keys} == {"2"}
    server.rotate("3")
    for _ in range(20):
        assert [key.kid for key in (await issuer.refresh()).keys] == ["2"]
    assert server.count("/jwks") == 2
    clock.passed = issuers.REFRESH_SECONDS + 0.1
    assert [key.kid for key in (await issuer.refresh()).keys] == ["3"]


async def test_an_unknown_key_of_an_issuer_that_is_down_is_not_decided(
    server: LoopbackIssuer, issuer: Issuer[Metadata]
) -> None:
    """Breaks when it is a wrong key: after a rotation, valid tokens would be rejected."""
    first = await issuer.get()
    server.answers["/jwks"] = 500, {}
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await issuer.refresh()
    assert server.count("/jwks") == 2
    assert await issuer.get() is first


async def test_an_added_key_is_found_and_the_others_stay(server: LoopbackIssuer, issuer: Issuer[Metadata]) -> None:
    await issuer.get()
    server.published.append(new_key("2").as_dict(private=False))
    assert [key.kid for key in (await issuer.refresh()).keys] == ["1", "2"]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
