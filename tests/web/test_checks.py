"""Invalid declarations of routes are reported when the application is built, with the route and the fix."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from litestar.datastructures import State
from litestar.di import Provide
from litestar.dto import MsgspecDTO
from litestar.params import (
    Body,
    FromCookie,
    FromHeader,
    FromQuery,
    MsgPackBody,
    PathParameter,
    QueryParams,
    URLEncodedBody,
)
from litestar.types import Scope
from msgspec import Meta, Struct, defstruct

from restwell import App
from restwell.auth import Actor
from restwell.database import Transaction
from restwell.email_addresses import EmailAddress
from restwell.errors import NotFound
from restwell.pages import PageFilter
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    HeaderParameter,
    Inject,
    JSONBody,
    ResponseSpec,
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


async def allow_all(*_: Any) -> None: ...


async def actor(self: Any, actor: Inject[Actor]) -> None: ...
async def actor_as_text(self: Any, actor: Inject[str]) -> None: ...
async def filters(self: Any, filters: Inject[PageFilter]) -> None: ...
async def filters_as_dict(self: Any, filters: Inject[dict[str, str]]) -> None: ...
async def form(self: Any, form: Inject[Draft]) -> None: ...
async def form_as_dict(self: Any, form: Inject[dict[str, str]]) -> None: ...
async def upload(self: Any, upload: Inject[Upload]) -> None: ...
async def upload_as_bytes(self: Any, upload: Inject[bytes]) -> None: ...
async def form_and_data(self: Any, form: Inject[Draft], data: JSONBody[Draft]) -> None: ...
async def form_and_upload(self: Any, form: Inject[Draft], upload: Inject[Upload]) -> None: ...
async def data(self: Any, data: JSONBody[Draft]) -> None: ...
async def form_once(self: Any, form: Inject[Draft], tx: Transaction) -> None: ...
async def data_once(self: Any, data: JSONBody[Draft], tx: Transaction) -> None: ...
async def nothing(self: Any) -> None: ...
async def from_query(self: Any, n: FromQuery[int]) -> None: ...
async def inferred(self: Any, n: int = 1) -> None: ...
async def not_given(self: Any, gift: Inject[int] = 1) -> None: ...
async def whole_query(self: Any, asked: QueryParams) -> None: ...
async def from_cookie(self: Any, n: FromCookie[str | None] = None) -> None: ...
async def from_header(self: Any, n: FromHeader[str | None] = None) -> None: ...
async def header_number(self: Any, n: Annotated[int, HeaderParameter(name="X-N")] = 1) -> None: ...
async def header_required(self: Any, n: Annotated[str, HeaderParameter(name="X-N")]) -> None: ...
async def header_short(
    self: Any, n: Annotated[str | None, HeaderParameter(name="X-N", max_length=3)] = None
) -> None: ...
async def part(self: Any, n: FromPath[int]) -> None: ...
async def part_inferred(self: Any, n: int) -> None: ...
async def part_as_id(self: Any, n: FromPath[UUID]) -> None: ...
async def part_with_constraint(self: Any, n: Annotated[int, PathParameter(ge=1)]) -> None: ...
async def given(self: Any, gift: Inject[int]) -> None: ...
async def short_data(self: Any, data: Annotated[list[str], Body(max_items=1)]) -> None: ...
async def form_data(self: Any, data: URLEncodedBody[Draft]) -> None: ...
async def packed_data(self: Any, data: MsgPackBody[Draft]) -> None: ...
async def plain_data(self: Any, data: Draft) -> None: ...
async def everything(self: Any, request: ApiRequest, state: State, scope: Scope) -> None: ...


def get_with_dependency(provide: Callable[..., Any], **options: Any) -> Any:
    return get(dependencies={"gift": Provide(provide, sync_to_thread=False)}, **options)(given)


def depends_on_query(n: FromQuery[int]) -> int:
    return n


def depends_on_path(n: FromPath[int]) -> int:
    return n


def depends_on_request(request: ApiRequest) -> int:
    return len(request.query_params)


DEPRECATED = pytest.mark.filterwarnings("ignore::litestar.exceptions.base_exceptions.LitestarDeprecationWarning")
"""The framework still accepts these declarations with a warning."""


def takes(name: str, kind: Any) -> Any:
    """A handler that takes a Struct with a field of this type."""

    async def handler(self: Any, **_: Any) -> None: ...

    struct = defstruct("Sent", [("field", kind)])
    annotation = JSONBody[struct] if name == "data" else Inject[struct]  # type: ignore[misc,valid-type]
    handler.__signature__ = Signature(  # type: ignore[attr-defined]  # the framework reads it
        [Parameter("self", Parameter.POSITIONAL_ONLY), Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)],
        return_annotation=None,
    )
    handler.__annotations__ = {name: annotation, "return": None}
    return (post() if name != "filters" else get())(handler)


async def header(self: Any, sent: Annotated[str | None, HeaderParameter(name="X-Sent")] = None) -> None: ...


def build(settings: Settings, handler: Any) -> App:
    return app_of(settings, type("Things", (Controller,), {"path": "/things", "handler": handler}))


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        pytest.param(lambda: get()(actor), r"\(GET /v1/things\) takes actor, .* guards=\[signed_in\]", id="no guard"),
        pytest.param(lambda: get(guards=[allow_all])(actor), "no guard of the route authenticates", id="custom guard"),
        pytest.param(lambda: get(guards=[signed_in])(actor_as_text), r"Inject\[Actor\]", id="actor as text"),
        pytest.param(lambda: get()(filters_as_dict), "takes filters: annotate it", id="filters as dict"),
        pytest.param(lambda: post()(form_as_dict), "takes form: annotate it", id="form as dict"),
        pytest.param(lambda: post()(upload_as_bytes), r"Inject\[Upload\]", id="upload as bytes"),
        pytest.param(lambda: post()(form_and_data), "takes data and form: a request has one body", id="form and data"),
        pytest.param(lambda: post()(form_and_upload), "takes form and upload: a request has one", id="form and upload"),
        pytest.param(lambda: get()(form), "takes form: only POST, PUT and PATCH", id="form of GET"),
        pytest.param(lambda: get()(upload), "takes upload: only POST", id="upload of GET"),
        pytest.param(lambda: delete()(data), "takes data: only POST", id="data of DELETE"),
        pytest.param(lambda: post(guards=[signed_in])(idempotent(form_once)), "only JSON bodies", id="idempotent form"),
        pytest.param(lambda: get(ratelimit=None)(nothing), "ratelimit: did you mean rate_limit", id="ratelimit"),
        pytest.param(lambda: get(eror=[NotFound])(nothing), "did you mean errors", id="eror"),
        pytest.param(lambda: get(opt={"plan": "gold"})(nothing), "arguments of the guard itself", id="custom option"),
        pytest.param(lambda: get(rate_limit=5)(nothing), "needs a Rate, or None as rate_limit, not 5", id="rate of 5"),
        pytest.param(lambda: get(errors=NotFound)(nothing), "needs a list of .* as errors", id="one error"),
        pytest.param(lambda: get(errors=[ValueError])(nothing), "subclasses of AppError", id="another's error"),
        pytest.param(lambda: get(timeout_seconds="5")(nothing), "as timeout_seconds", id="timeout as text"),
        pytest.param(lambda: get(timeout_seconds=0)(nothing), "seconds above 0", id="timeout of 0"),
        pytest.param(lambda: get(timeout_seconds=True)(nothing), "seconds above 0", id="timeout as a boolean"),
        pytest.param(lambda: get(cached=True)(nothing), "as cached", id="cached as a boolean"),
        pytest.param(lambda: get(query_budget={"notes.list": "2"})(nothing), "as query_budget", id="budget as text"),
        pytest.param(lambda: get(query_budget="notes.list")(nothing), "as query_budget", id="budget without a number"),
        pytest.param(lambda: get(requires_header="X-Other")(header), "requires the header X-Other", id="header"),
        pytest.param(lambda: get()(from_query), "takes n: make it a field of a msgspec Struct", id="query"),
        pytest.param(lambda: get()(inferred), "takes n: make it a field", id="query, inferred", marks=DEPRECATED),
        pytest.param(lambda: get()(not_given), "takes gift: make it a field", id="dependency without a provider"),
        pytest.param(lambda: get()(whole_query), "takes asked: make it", id="query as a mapping", marks=DEPRECATED),
        pytest.param(lambda: get_with_dependency(depends_on_query), "takes n: make it", id="query of a dependency"),
        pytest.param(lambda: get()(from_cookie), "takes n: .* request.cookies", id="cookie"),
        pytest.param(lambda: get()(from_header), r"HeaderParameter\(name=", id="header without a name"),
        pytest.param(lambda: get()(header_number), r"Annotated\[str \| None, HeaderParameter", id="header of a number"),
        pytest.param(lambda: get()(header_required), r"\] = None", id="required header"),
        pytest.param(lambda: get()(header_short), "check constraints in the handler", id="header with a limit"),
        pytest.param(lambda: get("/{n:uuid}")(part), r"FromPath\[UUID\]", id="part of the path of another type"),
        pytest.param(lambda: get("/{n:str}")(part_as_id), r"FromPath\[str\]", id="part of the path read from text"),
        pytest.param(lambda: get("/{n:int}")(part_with_constraint), "check constraints", id="path with a limit"),
        pytest.param(lambda: get(["/a", "/b/{n:int}"])(part), "takes n: make it a field", id="in one path only"),
        pytest.param(lambda: get("/{n:float}")(nothing), "float: use uuid, int or str", id="float in a path"),
        pytest.param(lambda: get("/{n:path}")(nothing), "use uuid, int or str", id="path in a path"),
        pytest.param(lambda: post()(short_data), "its constraints are outside the type", id="body with a limit"),
        pytest.param(lambda: post()(form_data), "a form as form", id="body as a form"),
        pytest.param(lambda: post()(packed_data), "take JSONBody", id="body as MessagePack"),
        pytest.param(lambda: post(dto=MsgspecDTO[Draft])(data), "DTOs are not supported", id="body by a DTO"),
        *(
            pytest.param(partial(takes, name, kind), f"takes {name}: {message}", id=f"{name} of {kind}")
            for name in ("data", "form", "filters")
            for kind, message in [
                (datetime, r"a datetime with an optional offset: .* Meta\(tz=True\)"),
                (datetime | None, "a datetime with an optional offset"),
                (Annotated[datetime, Meta(tz=False)], "a datetime with an optional offset"),
                (time, "a time with an optional offset"),
            ]
        ),
        pytest.param(partial(takes, "data", dict[str, list[datetime]]), "an optional offset", id="nested datetime"),
        *(
            pytest.param(partial(takes, name, kind), "Sent.field has no type with a single", id=f"{name} of {kind}")
            for name in ("form", "filters")
            for kind in (list[int], dict[str, int], Draft, Any, int | UUID, int | float, bool | int,
            Literal[1] | UUID | None)
        ),
    ],
)  # fmt: skip
def test_an_unusable_route_is_refused_at_start(
    tiny_settings: Settings, handler: Callable[[], Any], message: str
) -> None:
    """Seen to fail: each of these routes started, and answered with a 500 or a 415, or ignored its option silently."""
    with pytest.raises(TypeError, match=message):
        build(tiny_settings, handler())


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(lambda: get(guards=[allow_all, signed_in])(actor), id="guard of the kit behind a custom guard"),
        pytest.param(lambda: post()(filters), id="filters of POST"),
        pytest.param(lambda: post()(form), id="form"),
        pytest.param(lambda: post()(upload), id="upload"),
        pytest.param(lambda: post()(data), id="data"),
        pytest.param(lambda: get(requires_header="X-Sent")(header), id="header"),
        pytest.param(lambda: get("/{n:int}")(part), id="part of the path"),
        pytest.param(lambda: get("/{n:int}")(part_inferred), id="part of the path, inferred", marks=DEPRECATED),
        pytest.param(lambda: get(["/a/{n:int}", "/b/{n:int}"])(part), id="part of two paths"),
        pytest.param(lambda: get_with_dependency(depends_on_request), id="dependency that takes the request"),
        pytest.param(
            lambda: get_with_dependency(depends_on_path, path="/{n:int}"), id="dependency that takes a part of the path"
        ),
        pytest.param(lambda: post()(plain_data), id="body without JSONBody", marks=DEPRECATED),
        pytest.param(lambda: get()(everything), id="reserved parameters"),
        *(
            pytest.param(partial(takes, name, kind), id=f"{name} of {kind}")
            for name in ("data", "form", "filters")
            for kind in (
                Annotated[datetime, Meta(tz=True)] | None,
                Annotated[time, Meta(tz=False)],
                date | None,
                timedelta,
                Decimal | None,
                UUID,
                EmailAddress,
                Literal["a", "b"] | None,
                int | str,
                float,
                bool,
                bytes,
            )
        ),
        pytest.param(
            lambda: get(
                rate_limit=Rate("few", 2, seconds=1),
                errors=[NotFound],
                timeout_seconds=0.5,
                cached=public(ttl_seconds=1, tags=[]),
                query_budget={"notes.list": 2},
                responses={303: ResponseSpec(None, description="Redirect.")},
                media_type="text/csv",
            )(nothing),
            id="every option",
        ),
    ],
)
def test_a_usable_route_is_accepted_at_start(tiny_settings: Settings, handler: Callable[[], Any]) -> None:
    assert [path for path in build(tiny_settings, handler()).openapi["paths"] if path.startswith("/v1/things")]
