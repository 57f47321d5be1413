"""Schemas of a version that differ from those of the handlers."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final, Generic, TypeVar

import httpx
import pytest
from msgspec import Meta, Struct

from api_client import assert_problem, error_paths
from restwell import Restwell
from restwell import _api_version as api_version
from restwell.database import open_database
from restwell.errors import FieldError, Invalid
from restwell.pages import OffsetPage, Page, PageFilter
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Controller, Feature, Response, Stream, Version, created, get, post, stream_json
from restwell.web._encoding import encode_json

T = TypeVar("T")


class Account(Struct, frozen=True):
    """Declared by a feature; Member is its concrete type."""

    name: str


class Member(Account, frozen=True):
    level: int = 1


class Thing(Struct, frozen=True):
    name: str
    cents: int


class ThingFilter(PageFilter, frozen=True, kw_only=True):
    name: str = ""


class Export(Struct, frozen=True):
    """Everything."""

    things: list[Thing]
    first: Thing | None = None
    others: list[Thing] = []


class Things(Controller):
    path = "/things"

    @get()
    async def list_things(self, filters: ThingFilter) -> Page[Thing]:
        """List things."""
        return Page([Thing(filters.name, 1)], None if filters.cursor else "a-cursor")

    @get("/offset")
    async def list_by_offset(self) -> OffsetPage[Thing]:
        """List things by offset."""
        return OffsetPage([Thing("a", 1)], has_more=False, total=1)

    @get("/all")
    async def list_all(self) -> list[Thing]:
        """List all things."""
        return [Thing("a", 1)]

    @post()
    async def add_thing(self, data: Thing) -> Response[Thing]:
        """Add a thing."""
        return created(data, data.name)

    @get("/account")
    async def account(self) -> Account | None:
        """Get an account."""
        return Member("Ada")

    @get("/export")
    async def export(self) -> Stream[Export]:
        """Export everything."""
        return stream_json(_chunks(), "export.json")


async def _chunks() -> AsyncIterator[bytes]:
    yield encode_json({"things": api_version.current.get().show([Thing("a", 1)])})


class Price(Struct, frozen=True):
    amount: int


class NewThing(Struct, frozen=True):
    name: str
    price: Price


class NewFilter(PageFilter, frozen=True, kw_only=True):
    title: str = ""


class Person(Struct, frozen=True):
    full_name: str


class Listing(Struct, Generic[T], frozen=True):
    data: list[T]
    next: Annotated[str, Meta(examples=["/v2/things?cursor=abc"])] | None


def read_thing(thing: NewThing) -> Thing:
    return Thing(thing.name, thing.price.amount)


def read_filter(filters: NewFilter) -> ThingFilter:
    if filters.title == "wrong":
        raise Invalid(errors=[FieldError("title", "is wrong")])
    return ThingFilter(name=filters.title, cursor=filters.cursor)


def show_thing(thing: Thing) -> NewThing:
    return NewThing(thing.name, Price(thing.cents))


def show_account(account: Account) -> Person:
    return Person(account.name)


V2: Final = Version(
    "/v2", [Things], requests=[read_thing, read_filter], responses=[show_thing, show_account], page=Listing
)


@pytest.fixture
async def client(tiny_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = Restwell(tiny_settings, name="things").app([Version("/v1", [Things]), V2, Feature(types={Account: Member})])
    async with open_database(tiny_settings.database.url.get_secret_value()) as database:
        await app.migrations.upgrade(database)
    async with running(app) as connected:
        yield connected


OLD: Final = {"name": "a", "cents": 1}
NEW: Final = {"name": "a", "price": {"amount": 1}}


async def test_each_version_has_its_schemas_from_the_same_handlers(client: httpx.AsyncClient) -> None:
    """Fails if a conversion is left out for one of the kinds of results."""
    for path, old, new in (
        ("/things/all", [OLD], [NEW]),
        (
            "/things/offset",
            {"items": [OLD], "has_more": False, "total": 1},
            {"items": [NEW], "has_more": False, "total": 1},
        ),
        ("/things/account", {"name": "Ada", "level": 1}, {"full_name": "Ada"}),
        ("/things/export", {"things": [OLD]}, {"things": [NEW]}),
    ):
        assert (await client.get(f"/v1{path}")).json() == old
        assert (await client.get(f"/v2{path}")).json() == new


async def test_a_request_is_validated_by_the_schemas_of_its_version(client: httpx.AsyncClient) -> None:
    for prefix, right, wrong, path in (("/v1", OLD, NEW, "$.cents"), ("/v2", NEW, OLD, "$.price")):
        added = await client.post(f"{prefix}/things", json=right)
        assert (added.status_code, added.json(), added.headers["location"]) == (201, right, f"{prefix}/things/a")
        refused = assert_problem(await client.post(f"{prefix}/things", json=wrong), 422, "invalid")
        assert error_paths(refused) == {path}
    assert (await client.get("/v2/things?title=a")).json()["data"] == [NEW]
    refused = assert_problem(await client.get("/v2/things?title=wrong"), 422, "invalid")
    assert error_paths(refused) == {"title"}


async def test_a_version_has_its_pages(client: httpx.AsyncClient) -> None:
    """Fails if the path of the next page is without the filters."""
    first = await client.get("/v2/things?title=a")
    assert first.json() == {"data": [NEW], "next": "/v2/things?title=a&cursor=a-cursor"}
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    last = await client.get(first.json()["next"])
    assert (last.json(), "link" in last.headers) == ({"data": [NEW], "next": None}, False)
    assert (await client.get("/v1/things?name=a")).json() == {"items": [OLD], "next_cursor": "a-cursor"}


async def test_the_document_of_a_version_has_its_schemas(client: httpx.AsyncClient) -> None:
    old, new = [(await client.get(f"/{name}/openapi.json")).json() for name in ("v1", "v2")]
    names = [{each for each in document["components"]["schemas"] if each != "Problem"} for document in (old, new)]
    assert {"Thing", "Account", "ThingPage", "Export"} <= names[0]
    assert {"NewThing", "Price", "Person", "NewThingListing", "Export"} <= names[1]
    assert not names[1] & {"Thing", "Account", "Member", "ThingPage"}
    exported = new["components"]["schemas"]["Export"]
    assert exported["properties"]["things"]["items"] == {"$ref": "#/components/schemas/NewThing"}
    assert (exported["description"], exported["required"]) == ("Everything.", ["things"])
    assert "invalid_cursor" in str(new["paths"]["/v2/things"]["get"]["responses"]["400"])


@get("/map")
async def mapped() -> dict[str, Thing]:
    """Get a map."""
    raise NotImplementedError


@get("/whole")
async def whole() -> Response[Export]:
    """Get everything."""
    raise NotImplementedError


def show_again(thing: Thing) -> Price:
    return Price(thing.cents)


def without_types(thing):  # type: ignore[no-untyped-def]  # the error  # noqa: ANN001, ANN201
    return thing


def of_two(thing: Thing, other: int) -> NewThing:
    return NewThing(thing.name, Price(other))


@pytest.mark.parametrize(
    ("parts", "responses", "fault"),
    [
        ([mapped], [show_thing], r"mapped \(GET /v2/map\) returns dict.*only list, Page, OffsetPage and Response"),
        ([whole], [show_thing], "returns Export, which contains a converted type: add a conversion of it"),
        ([Things], [show_thing, show_again], "two conversions of Thing in a version: remove one"),
        ([Things], [without_types], "without_types must convert one type to another: annotate its only parameter"),
        ([Things], [of_two], "of_two must convert one type to another"),
        ([Feature()], [], ""),
        ([mapped], [show_account], "/v2 converts Account, which no handler of it takes or returns"),
    ],
)
def test_a_wrong_conversion_is_an_error_at_start(
    tiny_settings: Settings, parts: list[Any], responses: list[Callable[[Any], Any]], fault: str
) -> None:
    kit = Restwell(tiny_settings, name="things")
    if not fault:
        kit.app([Version("/v2", parts, responses=responses)])
        return
    with pytest.raises(TypeError, match=fault):
        kit.app([Version("/v2", parts, responses=responses)])


def show_renamed(thing: Thing) -> NewThing:
    return NewThing(thing.title, Price(thing.cents))  # type: ignore[attr-defined]  # the error


def read_renamed(thing: NewThing) -> Thing:
    return Thing(name=thing.name, price=thing.price.amount)  # type: ignore[call-arg]  # the error


@pytest.mark.parametrize(
    ("requests", "responses", "fault"),
    [
        ([], [show_renamed], "show_renamed, a conversion of /v2, fails: 'Thing' object has no attribute 'title'"),
        ([read_renamed], [], "read_renamed, a conversion of /v2, fails: Unexpected keyword argument 'price'"),
    ],
)
def test_a_conversion_of_a_renamed_field_is_an_error_at_start(
    tiny_settings: Settings, requests: list[Callable[[Any], Any]], responses: list[Callable[[Any], Any]], fault: str
) -> None:
    """Fails if no example is converted at start: each request would be a 500."""
    version = Version("/v2", [Things], requests=requests, responses=responses)
    with pytest.raises(TypeError, match=f"^{__name__}.{fault}; keep the field, or change the function$"):
        Restwell(tiny_settings, name="things").app([version])


class Matrix(Struct, frozen=True):
    rows: Annotated[dict[str, int], Meta(min_length=1)]


class Listed(Struct, frozen=True):
    first: int


def show_first(matrix: Matrix) -> Listed:
    return Listed(matrix.rows["first"])


def show_price(price: Price) -> Listed:
    raise LookupError(price)


@get("/matrix")
async def matrix() -> Matrix:
    """Get a matrix."""
    raise NotImplementedError


@get("/price")
async def price() -> Price:
    """Get a price."""
    raise NotImplementedError


def test_a_conversion_may_refuse_the_example(tiny_settings: Settings) -> None:
    """Fails if an example that is invalid, or no value for the function, is an error at start."""
    version = Version("/v2", [matrix, price], responses=[show_first, show_price])
    assert Restwell(tiny_settings, name="things").app([version]).documents.keys() == {"/v2"}


def test_a_wrong_type_of_pages_is_an_error() -> None:
    with pytest.raises(TypeError, match="page must be a generic Struct with two fields"):
        Version("/v2", [Things], page=Price)
    with pytest.raises(TypeError, match="requests must be a list of functions"):
        Version("/v2", [Things], requests=[Thing])  # type: ignore[list-item]  # the error
