"""Guards of the kit and custom guards: requests are counted once, and a handler with an actor needs authentication."""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from restwell import App, Restwell
from restwell.auth import Actor
from restwell.errors import Forbidden, Unauthorized
from restwell.settings import RateLimitSettings, Settings
from restwell.testing import running
from restwell.web import (
    Controller,
    Request,
    Version,
    get,
    requires_role,
    signed_in,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from restwell.web._guards import guard_name
from tiny.app import authenticate

READS = 5


async def lets_in(*_: Any) -> None:
    """A custom guard."""


async def refuses(_: Request) -> None:
    raise Forbidden


async def has_own_key(request: Request) -> None:
    """A custom guard that authenticates."""
    if request.headers.get("x-key") != "secret":
        raise Unauthorized


async def is_owner(request: Request) -> None:
    """A custom guard that calls a guard of the kit."""
    await signed_in(request)
    if request.actor.role != "owner":
        raise Forbidden


class may_read:  # noqa: N801  # lower case like the guards of the kit
    async def __call__(self, *_: Any) -> None: ...


class is_guest(requires_role):  # noqa: N801  # as above
    def __init__(self) -> None:
        super().__init__("guest")


class Free(Controller):
    path = "/free"

    @get("/none")
    async def none(self) -> str:
        return ""

    @get("/optional")
    async def optional(self, actor: Actor | None) -> str:
        return "" if actor is None else actor.role

    @get("/optional-refused", guards=[refuses])
    async def optional_refused(self, actor: Actor | None) -> str:
        raise NotImplementedError

    @get("/function", guards=[lets_in])
    async def function(self) -> str:
        return ""

    @get("/instance", guards=[may_read()])
    async def instance(self) -> str:
        return ""

    @get("/partial", guards=[partial(lets_in, 1)])
    async def partial(self) -> str:
        return ""

    @get("/refused", guards=[refuses])
    async def refused(self) -> str:
        raise NotImplementedError

    @get("/own-key", guards=[has_own_key])
    async def own_key(self) -> str:
        return ""

    @get("/refused-first", guards=[refuses, signed_in])
    async def refused_first(self) -> str:
        raise NotImplementedError

    @get("/unlimited", guards=[lets_in], rate_limit=None)
    async def unlimited(self) -> str:
        return ""


class Guarded(Controller):
    """Guarded by the controller."""

    path = "/guarded"
    guards = [lets_in]

    @get()
    async def read(self) -> str:
        return ""


class Members(Controller):
    path = "/members"

    @get("/kit", guards=[signed_in])
    async def kit(self, actor: Actor) -> str:
        return actor.role

    @get("/both", guards=[signed_in, lets_in])
    async def both(self) -> str:
        return ""

    @get("/twice", guards=[signed_in, requires_role("owner")])
    async def twice(self) -> str:
        return ""

    @get("/then-refused", guards=[signed_in, refuses])
    async def then_refused(self) -> str:
        raise NotImplementedError

    @get("/composed", guards=[is_owner])
    async def composed(self) -> str:
        return ""

    @get("/wrong-role", guards=[requires_role("admin")])
    async def wrong_role(self) -> str:
        raise NotImplementedError

    @get("/subclass", guards=[is_guest()])
    async def subclass(self, actor: Actor) -> str:
        return actor.role


@pytest.fixture
def limited_app(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> App:
    changes = {
        "rate_limit": RateLimitSettings(reads=(READS, 3_600)),
        "runtime_dir": tmp_path_factory.mktemp("limited"),
        "trusted_hops": 1,
    }
    kit = Restwell(tiny_settings.model_copy(update=changes), name="guarded")
    return kit.app([Version("/v1", [Free, Guarded, Members])], authenticate=authenticate)


@pytest.fixture
async def limited(limited_app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with running(limited_app) as client:
        yield client


async def left_after_each(
    client: httpx.AsyncClient, path: str, address: str, **headers: str
) -> list[tuple[int, str | None]]:
    """Status and remaining quota of each request, up to one above the limit."""
    headers["x-forwarded-for"] = address
    answers = [await client.get(f"/v1{path}", headers=headers) for _ in range(READS + 1)]
    left = [re.search("r=([0-9]+)", answer.headers.get("ratelimit", "")) for answer in answers]
    return [(answer.status_code, found[1] if found else None) for answer, found in zip(answers, left, strict=True)]


def counted_once(status: int) -> list[tuple[int, str | None]]:
    return [*((status, str(left)) for left in reversed(range(READS))), (429, "0")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/free/none", 200),
        ("/free/optional", 200),
        ("/free/optional-refused", 403),
        ("/free/function", 200),
        ("/free/instance", 200),
        ("/free/partial", 200),
        ("/free/refused", 403),
        ("/free/refused-first", 403),
        ("/guarded", 200),
        ("/members/kit", 401),
        ("/members/composed", 401),
    ],
)
async def test_an_anonymous_request_is_counted_once_against_its_network(
    limited: httpx.AsyncClient, path: str, status: int
) -> None:
    """Seen to fail: a custom guard disabled the rate limit."""
    assert await left_after_each(limited, path, "192.0.2.1") == counted_once(status)
    assert (await left_after_each(limited, path, "192.0.2.2"))[0] == (status, str(READS - 1))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/free/optional", 200),
        ("/free/optional-refused", 403),
        ("/members/kit", 200),
        ("/members/both", 200),
        ("/members/twice", 200),
        ("/members/then-refused", 403),
        ("/members/composed", 200),
        ("/members/wrong-role", 403),
        ("/members/subclass", 403),
    ],
)
async def test_a_request_of_a_user_is_counted_once_against_the_user(
    limited: httpx.AsyncClient, path: str, status: int
) -> None:
    """Breaks when a request with a custom guard is counted for the network, or not at all."""
    own = {"authorization": "Bearer owner"}
    assert await left_after_each(limited, path, "192.0.2.1", **own) == counted_once(status)
    assert (await left_after_each(limited, path, "192.0.2.2", **own))[0] == (429, "0")
    assert (await left_after_each(limited, path, "192.0.2.1"))[0][1] == str(READS - 1)


async def test_a_custom_api_key_cannot_be_guessed_faster_than_the_rate(limited: httpx.AsyncClient) -> None:
    """Breaks when rejected requests are not counted."""
    assert await left_after_each(limited, "/free/own-key", "192.0.2.1", **{"x-key": "guess"}) == counted_once(401)
    assert (await left_after_each(limited, "/free/own-key", "192.0.2.1", **{"x-key": "secret"}))[0] == (429, "0")
    assert await left_after_each(limited, "/free/own-key", "192.0.2.2", **{"x-key": "secret"}) == counted_once(200)


async def test_a_route_without_a_rate_limit_is_not_counted(limited: httpx.AsyncClient) -> None:
    """Breaks when ``rate_limit=None`` gets the rate of reads."""
    assert await left_after_each(limited, "/free/unlimited", "192.0.2.1") == [(200, None)] * (READS + 1)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/v1/free/none", []),
        ("/v1/free/optional", ["optional sign-in"]),
        ("/v1/free/function", ["lets_in"]),
        ("/v1/free/instance", ["may_read"]),
        ("/v1/free/partial", ["lets_in"]),
        ("/v1/guarded", ["lets_in"]),
        ("/v1/members/both", ["signed in", "lets_in"]),
        ("/v1/members/twice", ["signed in", "owner"]),
        ("/v1/members/subclass", ["is_guest"]),
    ],
)
def test_the_route_list_names_each_guard(limited_app: App, path: str, names: list[str]) -> None:
    """Seen to fail: `restwell routes` called every guard "signed in"."""
    (route,) = [each for each in limited_app.routes if each.path == path]
    assert list(map(guard_name, route.guards)) == names


@pytest.mark.parametrize(
    ("guard", "name"),
    [
        (signed_in_or_scope("notes:read"), "signed in or notes:read"),
        (signed_in_or_api_key("notes:read"), "signed in or API key with notes:read"),
        (requires_role("editor", "admin"), "editor or admin"),
        (requires_role("admin", or_scope="notes:write"), "admin or notes:write"),
    ],
)
def test_the_route_list_names_the_scope_of_a_guard(guard: object, name: str) -> None:
    assert guard_name(guard) == name
