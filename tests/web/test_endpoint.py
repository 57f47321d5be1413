"""Declared routes are compiled once; what does not fit together is a TypeError with the route and the fix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from msgspec import UNSET, Struct

from restwell.auth import Actor
from restwell.edge._router import Router
from restwell.errors import PROBLEMS, ErrorFormat, NotFound
from restwell.pages import Page
from restwell.rate_limits import Rate
from restwell.web import (
    Controller,
    Feature,
    Request,
    Response,
    Stream,
    TokenScheme,
    Upload,
    Version,
    delete,
    get,
    post,
    public,
    put,
    signed_in,
)
from restwell.web._declarations import Part
from restwell.web._endpoint import Defaults, Endpoint, compile_endpoints
from restwell.web._features import features_of
from tiny.app import authenticate

FEW = Rate("few", 2, seconds=1)


class Draft(Struct, frozen=True):
    text: str


class Mailer: ...


MAILER = Mailer()
SCHEME = TokenScheme(authenticate)


def compiled(
    *parts: Part | Version, auth: TokenScheme | None = SCHEME, errors: ErrorFormat = PROBLEMS
) -> Sequence[Endpoint]:
    defaults = Defaults(max_body_bytes=1_024, auth=auth, errors=errors)
    return compile_endpoints(parts, lambda kind: MAILER if kind is Mailer else None, defaults)


async def lets_in(_: Request) -> None: ...


@get("/plain", tags=["Plain"])
async def plain(mailer: Mailer) -> Draft:
    """Plain.

    More.
    """
    assert mailer is MAILER
    return Draft("x")


class Base(Controller):
    @get("/{thing_id}")
    async def read(self, thing_id: UUID) -> Draft:
        raise NotImplementedError

    async def helper(self) -> None: ...


class Things(Base):
    path = "/things"
    guards = [signed_in]
    tags = ["Things"]

    @post(
        "/{thing_id}/lines",
        guards=[lets_in],
        raises=[NotFound],
        idempotent=True,
        rate_limit=FEW,
        timeout_seconds=2.5,
        query_budget={"jobs.insert": 2},
        status_code=202,
        other_responses={303: "Moved."},
        media_type="application/vnd.line+json",
        max_body_bytes=10,
        tags=["Lines"],
        include_in_schema=False,
    )
    async def add(self, thing_id: UUID, data: Draft, actor: Actor) -> Draft:
        """Add."""
        raise NotImplementedError


def test_a_route_has_what_it_declares_and_what_its_controller_declares() -> None:
    read, add = compiled(Version("/v1", [Things]))
    assert (read.method, read.path, read.path_types, read.name) == (
        "GET",
        "/v1/things/{thing_id}",
        {"thing_id": UUID},
        "read",
    )
    assert (read.guards, read.has_guards, read.tags, read.raises) == ((signed_in,), True, ("Things",), ())
    assert (read.rate, read.timeout_seconds, read.max_body_bytes) == (UNSET, None, 1_024)
    assert (add.method, add.path, add.doc) == ("POST", "/v1/things/{thing_id}/lines", "Add.")
    assert (add.guards, add.tags, add.raises) == ((signed_in, lets_in), ("Lines",), (NotFound,))
    assert (add.idempotent, add.rate, add.declared_rate, add.timeout_seconds) == (True, FEW, FEW, 2.5)
    assert (add.query_budget, add.status_code, add.other_responses) == (
        {"jobs.insert": 2},
        202,
        {303: "Moved."},
    )
    assert (add.media_type, add.max_body_bytes, add.include_in_schema) == ("application/vnd.line+json", 10, False)


async def test_a_handler_needs_no_controller_and_its_services_are_bound() -> None:
    (endpoint,) = compiled(plain)
    assert (endpoint.path, endpoint.doc, endpoint.tags) == ("/plain", "Plain.\n\nMore.", ("Plain",))
    assert await endpoint.handler() == Draft("x")


@get("/")
async def root() -> None: ...


@get()
async def also_root() -> None: ...


def test_a_slash_is_the_path_of_the_controller_itself() -> None:
    """Breaks when it is appended: no request has a path with a trailing slash."""

    class Rooted(Controller):
        path = "/rooted"

        @get("/")
        async def read(self) -> None: ...

    assert [each.path for each in compiled(root, also_root, Rooted, Version("/v1", [root]))] == [
        "/",
        "/",
        "/rooted",
        "/v1",
    ]


@dataclass(frozen=True, kw_only=True)
class Roots(Feature):
    """A feature that is equal to another one, and has no hash."""

    path: str
    controllers: Sequence[Any] = (root,)


def test_a_feature_may_be_in_several_versions_and_counts_once() -> None:
    feature, other = Feature(controllers=[plain, Things]), Roots(path="/")
    parts: list[Part | Version] = [Version("/v1", [feature]), Version("/v2", [feature, other]), other]
    paths = [each.path for each in compiled(*parts) if each.name in {"plain", "root"}]
    assert paths == ["/v1/plain", "/v2/plain", "/v2", "/"]
    assert features_of(parts) == [feature, other]
    assert len(features_of([other, Roots(path="/")])) == 2
    assert features_of([plain, Things]) == []


def test_a_controller_may_have_error_responses_of_its_own() -> None:
    own, default = ErrorFormat(media_type="application/json"), ErrorFormat(media_type="application/xml")

    class Other(Things):
        error_format = own

    assert [each.errors for each in compiled(Other, errors=default)] == [own, own]
    assert [each.errors for each in compiled(Things, errors=default)] == [default, default]


def declared(method: Callable[..., Any], returns: Any, **options: Any) -> Endpoint:
    async def handler() -> None: ...

    handler.__annotations__["return"] = returns
    (endpoint,) = compiled(method("/x", **options)(handler))
    return endpoint


@pytest.mark.parametrize(
    ("method", "returns", "options", "status", "media_type"),
    [
        (get, Draft, {}, 200, "application/json"),
        (get, None, {}, 204, "application/json"),
        (post, Draft, {}, 201, "application/json"),
        (post, None, {}, 204, "application/json"),
        (post, None, {"status_code": 202}, 202, "application/json"),
        (post, Response[None], {}, 201, "application/json"),
        (put, Draft, {}, 200, "application/json"),
        (delete, None, {}, 204, "application/json"),
        (delete, Response[None], {}, 204, "application/json"),
        (delete, Draft, {}, 200, "application/json"),
        (get, str, {}, 200, "text/plain; charset=utf-8"),
        (get, bytes, {}, 200, "application/octet-stream"),
        (get, str, {"media_type": "text/csv"}, 200, "text/csv"),
        (get, list[str], {}, 200, "application/json"),
    ],
)
def test_status_and_media_type_follow_from_the_method_and_the_result(
    method: Any, returns: Any, options: dict[str, Any], status: int, media_type: str
) -> None:
    """Breaks when DELETE is always 204: its result would be lost silently."""
    endpoint = declared(method, returns, **options)
    assert (endpoint.status_code, endpoint.media_type) == (status, media_type)


@pytest.mark.parametrize(
    ("returns", "kinds", "is_page"),
    [
        (Draft, (Draft,), False),
        (Draft | None, (Draft,), False),
        (Response[Draft], (Draft,), False),
        (Response[Draft | None] | str, (Draft, str), False),
        (Stream[Draft], (Draft,), False),
        (None, (), False),
        (Page[Draft], (Page[Draft],), True),
        (Response[Page[Draft]], (Page[Draft],), True),
    ],
)
def test_the_types_of_the_result_are_known(returns: Any, kinds: tuple[Any, ...], *, is_page: bool) -> None:
    endpoint = declared(get, returns)
    assert (endpoint.returns, endpoint.is_page) == (kinds, is_page)


async def nothing() -> None: ...
async def without_type(): ...  # type: ignore[no-untyped-def]  # noqa: ANN201  # on purpose
async def takes_optional_actor(actor: Actor | None) -> None: ...


async def takes_actor(actor: Actor) -> None: ...
async def takes_form(form: Draft) -> None: ...
async def takes_upload(upload: Upload) -> None: ...
async def takes_id(thing_id: UUID, page: int = 1) -> None: ...
async def takes_mail(mail: Draft) -> None: ...
async def returns_draft() -> Draft: ...  # type: ignore[empty-body]  # not called
async def returns_stream() -> Stream[Draft]: ...  # type: ignore[empty-body]  # as above


CACHED = public(ttl_seconds=1, tags=[])
SIGNED_IN = {"guards": [signed_in]}


@pytest.mark.parametrize(
    ("handler", "method", "options", "message"),
    [
        (without_type, get, {}, r"without_type \(GET /x\) has no return type: annotate it$"),
        (takes_actor, get, {}, r"takes_actor \(GET /x\) takes actor, .* add guards=\[signed_in\]"),
        (takes_actor, get, {"guards": [lets_in]}, "no guard of the route authenticates"),
        (takes_optional_actor, get, SIGNED_IN, "takes actor as .*, but a guard .* requires one: annotate it as Actor$"),
        (takes_optional_actor, get, {"cache": CACHED}, "cannot be cached: its response depends on the actor"),
        (takes_optional_actor, post, {"idempotent": True}, "is idempotent and needs a guard that authenticates"),
        (takes_form, post, {"idempotent": True, **SIGNED_IN}, r"is idempotent: only JSON bodies \(data\)"),
        (takes_upload, post, {"idempotent": True, **SIGNED_IN}, "only JSON bodies"),
        (returns_stream, post, {"idempotent": True, **SIGNED_IN}, "is idempotent: a Stream cannot be stored$"),
        (nothing, post, {"idempotent": True}, "is idempotent and needs a guard that authenticates, such as signed_in$"),
        (nothing, post, {"idempotent": True, "guards": [lets_in]}, "is idempotent and needs a guard"),
        (nothing, post, {"cache": CACHED}, "cannot be cached: it has guards, or another method than GET"),
        (nothing, get, {"cache": CACHED, "guards": [lets_in]}, "cannot be cached: it has guards"),
        (nothing, get, {"cache": public(ttl_seconds=1, tags=["a:{thing_id}"])}, "has cache tags with thing_id, which"),
        (nothing, get, {"cache": public(ttl_seconds=1, tags=["{}"])}, "has cache tags with {}, which are no"),
        (nothing, get, {"query_budget": {"jobs.inser": 2}}, "query_budget for jobs.inser, .* did you mean jobs.insert"),
        (returns_draft, get, {"status_code": 204}, "returns a body, which a 204 has not: annotate it as None$"),
        (takes_mail, get, {}, r"^takes_mail \(GET /x\) takes mail: no service is a Draft"),
        (takes_actor, post, {"idempotent": True}, "takes actor, .*; and is idempotent and needs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_with_the_fix(
    handler: Callable[..., Any], method: Any, options: dict[str, Any], message: str
) -> None:
    """Breaks, one by one, without the check: the route starts, and each request is a 500, or is open to everyone."""

    async def copy() -> None: ...

    copy.__code__, copy.__annotations__, copy.__qualname__ = (
        handler.__code__,
        handler.__annotations__,
        handler.__qualname__,
    )
    with pytest.raises(TypeError, match=message):
        compiled(method("/x", **options)(copy))


def test_a_guard_of_the_kit_needs_an_authentication_scheme() -> None:
    """Breaks without the check: each request would be a 500."""
    for part, name in ((Things, r"Base\.read"), (get("/optional")(takes_optional_actor), "takes_optional_actor")):
        with pytest.raises(TypeError, match=rf"{name} .* no authentication: pass authenticate= to kit\.app"):
            compiled(part, auth=None)


def test_cache_tags_may_have_path_and_query_parameters() -> None:
    cache = public(ttl_seconds=60, tags=["things", "thing:{thing_id}:{page}"])
    (endpoint,) = compiled(get("/{thing_id}", cache=cache)(takes_id))
    assert endpoint.cache is not None
    assert endpoint.cache.tags({"thing_id": 5, "page": 2}) == ["things", "thing:5:2"]


@pytest.mark.parametrize("part", [Feature, Draft, Draft("x"), nothing, "text"])
def test_what_is_no_part_of_an_application_is_refused(part: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a Feature, a Controller or a handler with @get, @post"):
        compiled(part)


def test_two_routes_with_one_path_are_refused() -> None:
    with pytest.raises(TypeError, match="two routes have the method and path GET /plain"):
        Router(compiled(plain, plain))
