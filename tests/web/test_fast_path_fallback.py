"""Responses of the fast path, and responses that need the framework."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from litestar import Response as FrameworkResponse
from litestar.background_tasks import BackgroundTask
from litestar.connection import ASGIConnection
from litestar.datastructures import ResponseHeader
from litestar.dto import DTOConfig, MsgspecDTO
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Response, delete, get
from tiny.app import SOMEONE, app_of

seen: list[Any] = []


class Thing(Struct):
    id: UUID
    at: datetime


THING = Thing(SOMEONE, datetime(2026, 1, 31, tzinfo=UTC))
AS_JSON = {"id": str(SOMEONE), "at": "2026-01-31T00:00:00Z"}


async def note_handler(_: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    seen.append(handler)


async def shout(response: FrameworkResponse[Any]) -> FrameworkResponse[Any]:
    response.headers["x-after"] = "yes"
    return response


class Things(Controller):
    path = "/things"

    @get("/plain", guards=[note_handler], rate_limit=None)
    async def plain(self) -> Thing:
        """A struct."""
        return THING

    @get("/list")
    async def several(self) -> list[Thing]:
        """A list."""
        return [THING]

    @get("/with-headers")
    async def with_headers(self) -> Response[Thing]:
        """A status and a header."""
        return Response(THING, status_code=202, headers={"x-own": "\xe9", "x-count": "3"})

    @get("/bytes")
    async def in_bytes(self) -> Response[bytes]:
        """Encoded JSON."""
        return Response(b"[1]", media_type="application/json")

    @get("/text")
    async def text(self) -> str:
        """Text."""
        return "text"

    @get("/image")
    async def image(self) -> Response[bytes]:
        """Of another type."""
        return Response(b"P1 1 1 1", media_type="image/x-portable-bitmap")

    @get("/cookie")
    async def cookie(self) -> Response[Thing]:
        """A cookie."""
        answer = Response(THING)
        answer.set_cookie("taste", "sweet")
        return answer

    @get("/background")
    async def background(self) -> Response[Thing]:
        """A background task."""
        return Response(THING, background=BackgroundTask(seen.append, "afterwards"))

    @get("/declared", response_headers=[ResponseHeader(name="x-declared", value="yes")])
    async def declared(self) -> Thing:
        """A header that is declared."""
        return THING

    @get("/declared-cookie", response_cookies={"taste": "sweet"})
    async def declared_cookie(self) -> Thing:
        """A cookie that is declared."""
        return THING

    @get("/declared-task", background=BackgroundTask(seen.append, "afterwards"))
    async def declared_task(self) -> Thing:
        """A task that is declared."""
        return THING

    @get("/transferred", return_dto=MsgspecDTO[Annotated[Thing, DTOConfig(exclude={"at"})]])
    async def transferred(self) -> Thing:
        """Without one of its fields."""
        return THING

    @get("/own-type", media_type="application/vnd.thing+json")
    async def own_type(self) -> Thing:
        """JSON under another name."""
        return THING

    @get("/after", after_request=shout)
    async def after(self) -> Thing:
        """A hook."""
        return THING

    @get("/encoded", type_encoders={Path: lambda _: "somewhere"})
    async def encoded(self) -> dict[str, Any]:
        """A custom type encoder."""
        return {"where": Path("var")}

    @get("/answer-encoded")
    async def answer_encoded(self) -> Response[dict[str, Any]]:
        """A type that msgspec cannot encode, with an encoder of the response."""
        return Response({"where": Path("var")}, type_encoders={Path: lambda _: "somewhere"})

    @get("/unchanged")
    async def unchanged(self) -> Response[bytes]:
        """Not modified."""
        return Response(b"", status_code=304)

    @get("/path")
    async def a_path(self) -> dict[str, Any]:
        """A type that msgspec cannot encode."""
        return {"where": Path("var")}

    @delete("/nothing")
    async def nothing(self) -> None:
        """Nothing."""


async def asked(settings: Settings, path: str, method: str = "GET") -> httpx.Response:
    async with running(app_of(settings, Things)) as client:
        return await client.request(method, f"/v1/things/{path}")


@pytest.mark.parametrize(
    ("path", "status", "body", "headers"),
    [
        ("plain", 200, AS_JSON, {}),
        ("list", 200, [AS_JSON], {}),
        ("with-headers", 202, AS_JSON, {"x-own": "\xe9", "x-count": "3"}),
        ("bytes", 200, [1], {}),
        ("cookie", 200, AS_JSON, {"set-cookie": "taste=sweet; Path=/; SameSite=lax"}),
        ("background", 200, AS_JSON, {}),
        ("declared", 200, AS_JSON, {"x-declared": "yes"}),
        ("declared-cookie", 200, AS_JSON, {"set-cookie": "taste=sweet; Path=/; SameSite=lax"}),
        ("declared-task", 200, AS_JSON, {}),
        ("transferred", 200, {"id": str(SOMEONE)}, {}),
        ("own-type", 200, AS_JSON, {"content-type": "application/vnd.thing+json"}),
        ("after", 200, AS_JSON, {"x-after": "yes"}),
        ("encoded", 200, {"where": "somewhere"}, {}),
        ("answer-encoded", 200, {"where": "somewhere"}, {}),
        ("path", 200, {"where": "var"}, {}),
    ],
)
async def test_the_return_value_of_a_handler_is_sent(
    tiny_settings: Settings, path: str, status: int, body: object, headers: dict[str, str]
) -> None:
    """Breaks, one by one, when the fast path serves a response that needs the framework."""
    answer = await asked(tiny_settings, path)
    assert (answer.status_code, answer.json()) == (status, body)
    headers = {"content-type": "application/json", "content-length": str(len(answer.content)), **headers}
    assert {name: answer.headers.get(name) for name in headers} == headers


@pytest.mark.parametrize("path", ["background", "declared-task"])
async def test_a_background_task_of_a_response_runs(tiny_settings: Settings, path: str) -> None:
    seen.clear()
    await asked(tiny_settings, path)
    assert seen == ["afterwards"]


@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [("text", "text/plain; charset=utf-8", b"text"), ("image", "image/x-portable-bitmap", b"P1 1 1 1")],
)
async def test_a_response_that_is_not_json_keeps_its_media_type(
    tiny_settings: Settings, path: str, media_type: str, body: bytes
) -> None:
    answer = await asked(tiny_settings, path)
    assert (answer.headers["content-type"], answer.content) == (media_type, body)


@pytest.mark.parametrize(("path", "method", "status"), [("nothing", "DELETE", 204), ("unchanged", "GET", 304)])
async def test_a_response_without_content_has_no_body(
    tiny_settings: Settings, path: str, method: str, status: int
) -> None:
    answer = await asked(tiny_settings, path, method)
    assert (answer.status_code, answer.content, answer.headers.get("content-length")) == (status, b"", None)


async def test_a_guard_gets_the_handler_and_not_a_copy(tiny_settings: Settings) -> None:
    """Breaks without ``web/_fast_path.py``: the framework copies the handler for each guard."""
    seen.clear()
    app = app_of(tiny_settings, Things)
    async with running(app) as client:
        for _ in range(2):
            assert (await client.get("/v1/things/plain")).status_code == 200
    assert seen[0] is seen[1]
