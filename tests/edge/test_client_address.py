"""The client's address behind proxies: entries that the client wrote itself are not trusted."""

from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from edge_client import request
from restwell.edge._access_log import AccessLog
from restwell.edge._client_address import ClientAddress
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Request, client_info, get
from tiny.app import app_of


class AddressController(Controller):
    path = "/address"

    @get()
    async def read(self, request: Request) -> str:
        """Read the address of the client."""
        return client_info(request).ip_address


@pytest.fixture(params=[0, 1])
async def hops(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
async def served(tiny_settings: Settings, hops: int) -> AsyncIterator[httpx.AsyncClient]:
    settings = tiny_settings.model_copy(update={"trusted_hops": hops})
    async with running(app_of(settings, AddressController)) as client:
        yield client


async def test_an_address_that_the_client_wrote_into_the_header_is_not_trusted(
    served: httpx.AsyncClient, hops: int
) -> None:
    """Breaks when the first entry is used: an attacker who guesses passwords would have a new address each time."""
    headers = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "7.7.7.7, 203.0.113.7")]
    response = await served.get("/v1/address", headers=headers)
    assert response.text == ("203.0.113.7" if hops else "127.0.0.1")


@pytest.mark.parametrize(
    ("entries", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, " * 50 + "203.0.113.8", "203.0.113.8"),
        ("6.6.6.6, unknown", "127.0.0.1"),
        (None, "127.0.0.1"),
    ],
    ids=["short", "too long to be remembered", "no address", "no proxy"],
)
async def test_the_access_log_shows_the_address(entries: str | None, client: str) -> None:
    """Breaks when the memory of one header answers for another, or the position in the list is after the log's."""
    for _ in range(2):
        with capture_logs() as logged:
            headers = {"x-forwarded-for": entries} if entries is not None else None
            await request(hooks=[AccessLog(), ClientAddress(1)], headers=headers)
        assert [line["client"] for line in logged] == [client]
