"""The access table finds each route that admits other callers than the table says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import pytest

from restwell import App, Restwell
from restwell.auth import MACHINE, Actor
from restwell.errors import Forbidden, Unauthorized
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, access_table, check_access, running
from restwell.web import (
    Controller,
    Request,
    Version,
    delete,
    get,
    patch,
    post,
    requires_role,
    signed_in,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from tiny.app import SOMEONE, USERS

TABLE: Final = """
    GET     /v1/things           anyone
    GET     /v1/things/{number}  signed in, scope things:read
    DELETE  /v1/things/{number}  owner, scope things:write
    PATCH   /v1/things/{number}  signed in, key scope things:write
    GET     /v1/things/public    optional sign-in
    POST    /v1/things           signed in
"""
SCOPES: Final = ("things:read", "things:write")
DELETED: list[int] = []


async def authenticate(token: str) -> Actor:
    """A token is a role of a user or ``machine``, and that of a machine client or an API key has a scope too."""
    role, _, scope = token.partition(" ")
    if role not in {MACHINE, *USERS}:
        raise Unauthorized
    user = USERS.get(role, SOMEONE)
    return Actor(user, role, user, frozenset({scope} - {""}))


def application(settings: Settings, **guards: list[Any]) -> App:
    """An application with the guards of TABLE, or with others for some handlers."""
    normal: dict[str, list[Any]] = {
        "find": [signed_in_or_scope("things:read")],
        "remove": [requires_role("owner", or_scope="things:write")],
        "make": [signed_in],
    }
    found, removed, made = (guards.get(name, normal[name]) for name in normal)

    class Things(Controller):
        path = "/things"

        @get()
        async def all(self) -> str:
            """List things."""
            return ""

        @get("/{number}", guards=found)
        async def find(self, number: int) -> str:
            """Read a thing."""
            return str(number)

        @delete("/{number}", guards=removed)
        async def remove(self, number: int) -> None:
            """Delete a thing."""
            DELETED.append(number)

        @patch("/{number}", guards=[signed_in_or_api_key("things:write")])
        async def change(self, number: int) -> str:
            """Change a thing."""
            return str(number)

        @get("/public")
        async def public(self, actor: Actor | None) -> str:
            """Read who calls."""
            return actor.role if actor is not None else ""

        @post(guards=made, status_code=200)
        async def make(self, data: dict[str, str]) -> dict[str, str]:
            """Make a thing."""
            return data

    return Restwell(settings, name="things").app([Version("/v1", [Things])], authenticate=authenticate)


@asynccontextmanager
async def callers_of(app: App) -> AsyncIterator[list[Caller]]:
    async with running(app) as client:
        yield [
            Caller(ApiClient(client, "owner"), role="owner"),
            Caller(ApiClient(client, "guest"), role="guest"),
            *(Caller(ApiClient(client, f"{MACHINE} {one}"), scopes={one}) for one in SCOPES),
            *(
                Caller(ApiClient(client, f"{role} {one}"), role=role, scopes={one})
                for role in ("owner", "guest")
                for one in SCOPES
            ),
            Caller(ApiClient(client, "expired"), name="expired token"),
        ]


async def differences(app: App, table: str = TABLE, **more: Any) -> list[str]:
    """The lines of the message, with single spaces."""
    async with callers_of(app) as callers:
        try:
            await check_access(app, table, callers, **more)
        except AssertionError as error:
            return [" ".join(line.split()) for line in str(error).splitlines()]
        return []


async def test_an_application_that_keeps_to_its_table_passes_and_no_object_is_deleted(tiny_settings: Settings) -> None:
    """Breaks if the handler runs for the callers that are admitted, and if the kit's own routes need a line."""
    app = application(tiny_settings)
    assert await differences(app) == []
    assert DELETED == []
    assert [line.split() for line in access_table(app).splitlines()] == [
        line.split() for line in TABLE.strip().splitlines()
    ]


async def test_a_removed_guard_is_found(tiny_settings: Settings) -> None:
    found = await differences(application(tiny_settings, find=[]))
    for caller in ("anonymous", "invalid token", "expired token"):
        assert f"GET /v1/things/{{number}} {caller} 200 instead of 401" in found
    assert found[-2:] == ["The guards of these routes admit:", "GET /v1/things/{number} anyone"]


async def test_a_guard_that_is_weakened_to_signed_in_is_found(tiny_settings: Settings) -> None:
    found = await differences(application(tiny_settings, remove=[signed_in]))
    assert found == [
        "3 differences from the access table:",
        "DELETE /v1/things/{number} guest 204 instead of 403",
        "DELETE /v1/things/{number} machine with things:write 403 instead of access",
        "DELETE /v1/things/{number} API key of owner with things:write 403 instead of access",
        "The guards of these routes admit:",
        "DELETE /v1/things/{number} signed in",
    ]
    DELETED.clear()


async def test_a_guard_of_the_wrong_role_is_found(tiny_settings: Settings) -> None:
    found = await differences(application(tiny_settings, remove=[requires_role("guest", or_scope="things:write")]))
    assert found[1:-2] == [
        "DELETE /v1/things/{number} owner 403 instead of access",
        "DELETE /v1/things/{number} guest 204 instead of 403",
        "DELETE /v1/things/{number} API key of owner with things:write 403 instead of access",
        "DELETE /v1/things/{number} API key of guest with things:write 204 instead of 403",
    ]
    DELETED.clear()


async def test_a_guard_of_the_wrong_scope_is_found(tiny_settings: Settings) -> None:
    found = await differences(application(tiny_settings, find=[signed_in_or_scope("things:write")]))
    assert found[1:-2] == [
        "GET /v1/things/{number} machine with things:read 403 instead of access",
        "GET /v1/things/{number} machine with things:write 200 instead of 403",
        *(
            f"GET /v1/things/{{number}} API key of {role} with things:{answer}"
            for role in USERS
            for answer in ("read 403 instead of access", "write 200 instead of 403")
        ),
    ]


async def test_a_guard_that_is_too_strict_is_found(tiny_settings: Settings) -> None:
    found = await differences(application(tiny_settings, make=[requires_role("owner")]))
    assert found[1:-2] == ["POST /v1/things guest 403 instead of access"]


async def is_seven(request: Request) -> None:
    """A guard of the application."""
    if request.path_parameters["number"] != 7:
        raise Forbidden


async def is_signed(request: Request) -> None:
    if b"signature" not in request.fields:
        raise Forbidden


async def test_what_an_own_guard_does_is_unknown_until_the_table_says_it(tiny_settings: Settings) -> None:
    """Breaks if a route with an own guard passes unchecked."""
    app = application(tiny_settings, find=[is_seven], make=[is_signed])
    unknown = "is unknown: write who passes it in the table"
    assert (await differences(app, access_table(app)))[1:-3] == [
        f"GET /v1/things/{{number}} what is_seven does {unknown}",
        f"POST /v1/things what is_signed does {unknown}",
    ]
    table = TABLE.replace("signed in, scope things:read", "anyone")
    table = table.replace("/v1/things           signed in", "/v1/things no caller")
    assert await differences(app, table, ids={"number": 7}) == []
    assert "GET /v1/things/{number} anonymous 403 instead of access" in await differences(app, table)
    opened = await differences(application(tiny_settings, find=[is_seven], make=[]), table, ids={"number": 7})
    assert "POST /v1/things guest 415 instead of 401 or 403" in opened


async def test_routes_and_callers_that_are_not_checked_are_differences(tiny_settings: Settings) -> None:
    """Breaks if a new route, a role without a user or a scope without a client passes."""
    app = application(tiny_settings)
    table = "GET /v1/things anyone\nGET /v1/things anyone\nGET /v1/other boss\nPOST /v1/things guest\nGET /metrics"
    found = await differences(app, table)
    for line in (
        "GET /v1/things has two lines",
        "GET /v1/other no such route",
        "boss no caller is a user with the role boss",
        "GET /v1/things/{number} is not in the table",
    ):
        assert line in found
    assert any(line.startswith("GET /metrics write who may call the route: anyone, no caller,") for line in found)
    with pytest.raises(AssertionError, match=r"scope things:read +no caller has this scope"):
        await check_access(app, TABLE, [])
    async with running(app) as client:
        both = Caller(ApiClient(client), scopes={"things:read", "things:write"})
        with pytest.raises(AssertionError, match="no machine client or API key is without this scope"):
            await check_access(app, TABLE, [both])


async def test_ids_that_no_path_has_are_an_error(tiny_settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"/v1/things/x is no path of /v1/things/\{number\}: give other ids"):
        await differences(application(tiny_settings), ids={"number": "x"})


def test_a_caller_is_named_after_what_it_has() -> None:
    client = ApiClient(httpx.AsyncClient())
    callers = [
        Caller(client, role="owner"),
        Caller(client, scopes={"b", "a"}),
        Caller(client, scopes=()),
        Caller(client, role="guest", scopes={"a"}),
        Caller(client),
        Caller(client, name="expired token"),
    ]
    names = ["owner", "machine with a b", "machine without scope", "API key of guest with a", "invalid token"]
    assert [caller.name for caller in callers] == [*names, "expired token"]
