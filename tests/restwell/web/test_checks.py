"""What a route declares and cannot work is told when the application is built, with the route and the cure."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from msgspec import Struct

from restwell.auth import Actor
from restwell.database import Transaction
from restwell.errors import NotFound
from restwell.limits import Rate
from restwell.settings import Settings
from restwell.web import (
    Controller,
    HeaderParameter,
    JSONBody,
    PageFilter,
    Provided,
    Upload,
    delete,
    get,
    idempotent,
    post,
    public,
    signed_in,
)
from tiny.app import app_of


class Draft(Struct, frozen=True):
    text: str


async def lets_in(*_: Any) -> None: ...


async def actor(self: Any, actor: Provided[Actor]) -> None: ...
async def actor_as_text(self: Any, actor: Provided[str]) -> None: ...
async def filters(self: Any, filters: Provided[PageFilter]) -> None: ...
async def filters_as_dict(self: Any, filters: Provided[dict[str, str]]) -> None: ...
async def form(self: Any, form: Provided[Draft]) -> None: ...
async def form_as_dict(self: Any, form: Provided[dict[str, str]]) -> None: ...
async def upload(self: Any, upload: Provided[Upload]) -> None: ...
async def upload_as_bytes(self: Any, upload: Provided[bytes]) -> None: ...
async def form_and_data(self: Any, form: Provided[Draft], data: JSONBody[Draft]) -> None: ...
async def form_and_upload(self: Any, form: Provided[Draft], upload: Provided[Upload]) -> None: ...
async def data(self: Any, data: JSONBody[Draft]) -> None: ...
async def form_once(self: Any, form: Provided[Draft], tx: Transaction) -> None: ...
async def data_once(self: Any, data: JSONBody[Draft], tx: Transaction) -> None: ...
async def nothing(self: Any) -> None: ...
async def header(self: Any, sent: Annotated[str | None, HeaderParameter(name="X-Sent")] = None) -> None: ...


def build(settings: Settings, handler: Any) -> None:
    app_of(settings, type("Things", (Controller,), {"path": "/things", "handler": handler}))


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        pytest.param(lambda: get()(actor), r"actor \(GET /v1/things\) takes actor, .* add guards=\[signed_in\]", id="no guard"),
        pytest.param(lambda: get(guards=[lets_in])(actor), "no guard of its route authenticates", id="guard of one's own"),
        pytest.param(lambda: get(guards=[signed_in])(actor_as_text), r"Provided\[Actor\]", id="actor as text"),
        pytest.param(lambda: get()(filters_as_dict), "takes filters: annotate it", id="filters as dict"),
        pytest.param(lambda: post()(form_as_dict), "takes form: annotate it", id="form as dict"),
        pytest.param(lambda: post()(upload_as_bytes), r"Provided\[Upload\]", id="upload as bytes"),
        pytest.param(lambda: post()(form_and_data), "takes data and form: a request has one body", id="form and data"),
        pytest.param(lambda: post()(form_and_upload), "takes form and upload: a request has one body", id="form and upload"),
        pytest.param(lambda: get()(form), "takes form: only POST, PUT and PATCH", id="form of GET"),
        pytest.param(lambda: get()(upload), "takes upload: only POST", id="upload of GET"),
        pytest.param(lambda: delete()(data), "takes data: only POST", id="data of DELETE"),
        pytest.param(lambda: post(guards=[signed_in])(idempotent(form_once)), "with a JSON body only", id="form once"),
        pytest.param(lambda: get(ratelimit=None)(nothing), "no option ratelimit: did you mean rate_limit", id="ratelimit"),
        pytest.param(lambda: get(eror=[NotFound])(nothing), "did you mean errors", id="eror"),
        pytest.param(lambda: get(opt={"plan": "gold"})(nothing), "give to the guard itself", id="own option"),
        pytest.param(lambda: get(rate_limit=5)(nothing), "needs as rate_limit a Rate, or None, not 5", id="rate of 5"),
        pytest.param(lambda: get(errors=NotFound)(nothing), "needs as errors a list", id="one error"),
        pytest.param(lambda: get(errors=[ValueError])(nothing), "subclasses of AppError", id="another's error"),
        pytest.param(lambda: get(timeout_seconds="5")(nothing), "needs as timeout_seconds", id="time as text"),
        pytest.param(lambda: get(timeout_seconds=0)(nothing), "seconds above 0", id="no time"),
        pytest.param(lambda: get(timeout_seconds=True)(nothing), "seconds above 0", id="time as truth"),
        pytest.param(lambda: get(cached=True)(nothing), "needs as cached", id="cached as truth"),
        pytest.param(lambda: get(repeats={"notes.list": "2"})(nothing), "needs as repeats", id="repeats as text"),
        pytest.param(lambda: get(repeats="notes.list")(nothing), "needs as repeats", id="repeats without number"),
        pytest.param(lambda: get(also={"303": "Elsewhere"})(nothing), "needs as also", id="status as text"),
        pytest.param(lambda: get(produces=["text/csv"])(nothing), "needs as produces", id="list of types"),
        pytest.param(lambda: get(requires_header="X-Other")(header), "requires the header X-Other", id="header of none"),
    ],
)  # fmt: skip
def test_what_cannot_work_does_not_start(tiny_settings: Settings, handler: Callable[[], Any], told: str) -> None:
    """Each of these started, and was a 500, a 415 for ever, or silently without effect."""
    with pytest.raises(TypeError, match=told):
        build(tiny_settings, handler())


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(lambda: get(guards=[lets_in, signed_in])(actor), id="kit's guard behind one's own"),
        pytest.param(lambda: post()(filters), id="filters of POST"),
        pytest.param(lambda: post()(form), id="form"),
        pytest.param(lambda: post()(upload), id="upload"),
        pytest.param(lambda: post()(data), id="data"),
        pytest.param(lambda: get(requires_header="X-Sent")(header), id="header"),
        pytest.param(
            lambda: get(
                rate_limit=Rate("few", 2, seconds=1),
                errors=[NotFound],
                timeout_seconds=0.5,
                cached=public(ttl_seconds=1, tags=[]),
                repeats={"notes.list": 2},
                also={303: "Elsewhere."},
                produces="text/csv",
            )(nothing),
            id="every option",
        ),
    ],
)
def test_what_works_starts(tiny_settings: Settings, handler: Callable[[], Any]) -> None:
    build(tiny_settings, handler())
