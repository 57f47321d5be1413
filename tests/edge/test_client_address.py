"""The client's address behind proxies: entries that the client wrote itself are not trusted."""

from collections.abc import AsyncIterator

import httpx
import pytest

from restwell.client_ip import forwarded_address, network_of
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import ApiRequest, Controller, client_info, get
from tiny.app import app_of


@pytest.mark.parametrize(
    ("entries", "hops", "address"),
    [
        ("203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("6.6.6.6,203.0.113.7 , 10.0.0.1", 2, "203.0.113.7"),
        ("203.0.113.7:4711", 1, "203.0.113.7"),
        ("[2001:db8::7]:4711", 1, "2001:db8::7"),
        ("2001:DB8:0::7", 1, "2001:db8::7"),
        ("::ffff:203.0.113.7", 1, "203.0.113.7"),
        ("203.0.113.7", 2, None),
        ("203.0.113.7, unknown", 1, None),
        ("203.0.113.7, ", 1, None),
        ("", 1, None),
        ("'; DROP TABLE users", 1, None),
        ("fe80::1%eth0", 1, None),
        (f"fe80::1%{'x' * 5_000}", 1, None),
        ("[fe80::1%eth0]:4711", 1, None),
        ("[2001:db8::7]x", 1, None),
        ("[2001:db8::7", 1, None),
        ("[2001:db8::7]:x", 1, None),
        ("203.0.113.7:x", 1, None),
        ("203.0.113.7:", 1, None),
        ("203.0.113.07", 1, None),
        ("\uff12\uff10\uff13.0.113.7", 1, None),
        ("_hidden", 1, None),
        ("for=203.0.113.7", 1, None),
        ("," * 30_000 + "203.0.113.7", 1, "203.0.113.7"),
    ],
)
def test_the_client_address_is_the_entry_of_the_outermost_proxy(entries: str, hops: int, address: str | None) -> None:
    """Seen to fail: any text after % became part of the address, and any text after a bracket or colon was ignored."""
    assert forwarded_address(entries, hops) == address


def test_an_ipv6_client_is_identified_by_its_64_network() -> None:
    assert network_of("2001:db8::7") == network_of("2001:db8::ffff:1:2:3") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::7") == "2001:db8:0:1::/64"
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("a name") == "a name"


class AddressController(Controller):
    path = "/address"

    @get()
    async def read(self, request: ApiRequest) -> str:
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
