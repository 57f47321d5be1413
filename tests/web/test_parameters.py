"""The source of each parameter of a handler is inferred; what cannot be inferred is named with the fix."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, Struct, defstruct
from pydantic import BaseModel

from controller_server import serve_controllers
from fuzzing import InProcess
from restwell.auth import Actor
from restwell.database import Database
from restwell.email_addresses import EmailAddress
from restwell.errors import AppError, MalformedRequest
from restwell.pages import PageFilter
from restwell.web import Controller, Header, IfMatch, Request, Upload, get, patch, post
from restwell.web._models import model_adapter
from restwell.web._parameters import Parameters, infer_parameters
from things import ID

if TYPE_CHECKING:
    from restwell.mail import Mailer


class Draft(Struct, frozen=True):
    text: str


class Model(BaseModel):
    text: str


class Service: ...


class LoudService(Service): ...


class Colour(Enum):
    RED = "red"


SERVICE = LoudService()


def infer(handler: Callable[..., Any], method: str = "POST", *path_names: str) -> Parameters:
    return infer_parameters(handler, method, path_names, lambda kind: SERVICE if isinstance(SERVICE, kind) else None)


async def everything(
    thing_id: UUID,
    number: int,
    name: str,
    data: Draft,
    filters: PageFilter,
    actor: Actor,
    request: Request,
    if_match: IfMatch,
    service: Service,
    header: Annotated[str | None, Header("X-Name")] = None,
) -> None: ...


def test_every_parameter_is_inferred_from_its_name_and_its_type() -> None:
    found = infer(everything, "POST", "thing_id", "number", "name")
    assert found.path == {"thing_id": UUID, "number": int, "name": str}
    assert (found.data, found.filters, found.actor, found.upload, found.form) == (Draft, PageFilter, True, False, None)
    assert [each.name for each in found.headers.values()] == ["If-Match", "X-Name"]
    assert found.services == {"service": SERVICE}
    assert found.read.keys() == {*found.path, "filters", "actor", "request", "if_match", "header"}
    assert found.read_body is not None
    assert found.read_body[0] == "data"
    assert not found.scalars


async def with_upload(file: Upload) -> None: ...
async def with_form(form: Draft) -> None: ...
async def one_by_one(page: int, colour: Colour | None = None, limit: Annotated[int, Meta(ge=1)] = 20) -> None: ...
async def model(data: Model) -> None: ...


def test_uploads_forms_and_models_are_inferred() -> None:
    assert infer(with_upload).upload
    assert infer(with_form).form is Draft
    assert infer(model).data == model_adapter(Model)


def test_other_parameters_are_query_parameters() -> None:
    found = infer(one_by_one, "GET")
    assert found.scalars == ("page", "colour", "limit")
    assert found.filters is not None
    assert found.filters.__struct_fields__ == found.scalars
    assert found.filters.__struct_config__.frozen, "results for short query strings are shared"
    assert msgspec.convert({"page": 1}, found.filters) == found.filters(page=1, colour=None, limit=20)


async def nothing(missing) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # on purpose
async def by_position(thing: int, /) -> None: ...
async def any_number(*things: int) -> None: ...
async def any_names(**things: int) -> None: ...
async def not_imported(mailer: "Mailer") -> None: ...
async def unknown_service(filters: PageFilter, database: Database) -> None: ...
async def optional_service(service: Service | None = None) -> None: ...
async def misnamed(draft: Draft) -> None: ...
async def misnamed_model(draft: Model) -> None: ...
async def two_bodies(data: Draft, form: Draft) -> None: ...
async def three_bodies(data: Draft, upload: Upload) -> None: ...
async def data(data: Draft) -> None: ...
async def form_as_dict(form: dict[str, str]) -> None: ...
async def filters_as_dict(filters: dict[str, str]) -> None: ...
async def actor_as_text(actor: str) -> None: ...
async def request_as_text(request: str) -> None: ...
async def upload_as_bytes(upload: bytes) -> None: ...
async def if_match_as_text(if_match: str) -> None: ...
async def header_number(n: Annotated[int, Header("X-N")]) -> None: ...
async def header_without_none(n: Annotated[str, Header("X-N")]) -> None: ...
async def header_with_none(n: Annotated[str | None, Header("X-N", required=True)]) -> None: ...
async def path_number(n: Annotated[int, Meta(ge=1)]) -> None: ...
async def path_decimal(n: Decimal) -> None: ...
async def filters_and_scalars(filters: PageFilter, page: int, size: int) -> None: ...
async def list_of_ids(ids: list[UUID]) -> None: ...
async def anything(thing: Any) -> None: ...


@pytest.mark.parametrize(
    ("handler", "method", "path_names", "message"),
    [
        (nothing, "GET", [], r"^takes missing: annotate it$"),
        (by_position, "GET", [], r"^takes thing: arguments are passed by name: write it without \* or /$"),
        (any_number, "GET", [], r"^takes things: arguments are passed by name"),
        (any_names, "GET", [], r"^takes things: arguments are passed by name"),
        (not_imported, "GET", [], r"^has an annotation that needs an import at run time: name 'Mailer' is not"),
        (unknown_service, "GET", [], r"^takes database: no service is a Database: add it to the services of a Feature"),
        (optional_service, "GET", [], r"^takes service: Query[0-9]*.service has no type with a single text format"),
        (misnamed, "POST", [], r"no service is a Draft: .*; or name the parameter data for a JSON body"),
        (misnamed_model, "POST", [], r"no service is a Model: .*; or name the parameter data for a JSON body"),
        (two_bodies, "POST", [], r"^takes form: the handler takes data already, and a request has one body$"),
        (three_bodies, "POST", [], r"^takes upload: the handler takes data already"),
        (data, "GET", [], r"^takes data: only POST, PUT and PATCH have a body$"),
        (data, "DELETE", [], r"^takes data: only POST"),
        (with_form, "GET", [], r"^takes form: only POST"),
        (with_upload, "GET", [], r"^takes file: only POST"),
        (form_as_dict, "POST", [], r"^takes form: annotate it as a msgspec Struct$"),
        (filters_as_dict, "GET", [], r"^takes filters: annotate it as a msgspec Struct$"),
        (actor_as_text, "GET", [], r"^takes actor: annotate it as Actor, or Actor \| None where sign-in is optional$"),
        (request_as_text, "GET", [], r"^takes request: annotate it as Request$"),
        (upload_as_bytes, "POST", [], r"^takes upload: annotate it as Upload$"),
        (if_match_as_text, "PUT", [], r"^takes if_match: annotate it as IfMatch$"),
        (header_number, "GET", [], r"takes n: annotate it as Annotated\[str \| None, Header\(\"X-N\"\)\]"),
        (header_without_none, "GET", [], r"annotate it as Annotated\[str \| None"),
        (header_with_none, "GET", [], r"annotate it as Annotated\[str, Header"),
        (path_number, "GET", ["n"], r"^takes n: annotate a path parameter as UUID, int or str, and check constraints"),
        (path_decimal, "GET", ["n"], r"^takes n: annotate a path parameter as UUID, int or str"),
        (data, "POST", ["thing_id"], r"^needs a parameter thing_id: it is in the path$"),
        (filters_and_scalars, "GET", [], r"^takes page and size: make it a field of the Struct of filters$"),
        (list_of_ids, "GET", [], r"^takes ids: Query[0-9]*.ids has no type with a single text format"),
        (anything, "GET", [], r"^takes thing: Query[0-9]*.thing has no type with a single text format"),
        (two_bodies, "GET", ["id"], r"^takes data: only.*; and takes form: only.*; and needs a parameter id"),
    ],
)  # fmt: skip
def test_a_parameter_without_a_source_is_refused_with_the_fix(
    handler: Callable[..., Any], method: str, path_names: list[str], message: str
) -> None:
    """Breaks, one by one, without the check. `actor: str`, for example, would be a query parameter of the client."""
    with pytest.raises(TypeError, match=message):
        infer(handler, method, *path_names)


SENT = [
    (datetime, r"a datetime with an optional offset: .* Meta\(tz=True\)"),
    (datetime | None, "a datetime with an optional offset"),
    (Annotated[datetime, Meta(tz=False)], "a datetime with an optional offset"),
    (time, "a time with an optional offset"),
]
WITHOUT_TEXT: list[Any] = [
    list[int], dict[str, int], Draft, Any, int | UUID, int | float, bool | int, Literal[1] | UUID | None
]  # fmt: skip
USABLE: list[Any] = [
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
]


def handler_with(name: str, kind: Any) -> Callable[..., Any]:
    """A handler that takes a Struct with a field of this type."""
    struct = defstruct("Sent", [("field", kind)])
    handlers: dict[str, Any] = {"data": data, "form": with_form, "filters": unknown_filters}
    handler = FunctionType(handlers[name].__code__, globals())
    handler.__annotations__ = {name: struct}
    return handler


async def unknown_filters(filters: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        *((name, kind, message) for name in ("data", "form", "filters") for kind, message in SENT),
        ("data", dict[str, list[datetime]], "a datetime with an optional offset"),
        ("data", Service, "a Service, which cannot be decoded: use Structs, models and standard types"),
        ("data", list[Service | None], "a Service, which cannot be decoded"),
        *(
            (name, kind, "Sent.field has no type with a single")
            for name in ("form", "filters")
            for kind in WITHOUT_TEXT
        ),
    ],
)
def test_a_field_with_several_spellings_is_refused(name: str, kind: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"takes {name}: {message}"):
        infer(handler_with(name, kind))


@pytest.mark.parametrize("name", ["data", "form", "filters"])
@pytest.mark.parametrize("kind", USABLE, ids=str)
def test_a_field_with_one_spelling_is_accepted(name: str, kind: Any) -> None:
    infer(handler_with(name, kind))


@pytest.mark.parametrize("name", ["", "X Name", "X-Näme", "X-Name:", "X\r\n"])
def test_a_header_needs_a_name_that_clients_can_send(name: str) -> None:
    """Breaks without the check: the handler would never get the header."""
    with pytest.raises(TypeError, match="Header: name must be the name of a header"):
        Header(name)


def number_of(text: str | None) -> int:
    if text is None or not text.isdigit():
        raise MalformedRequest("X-Number must be a number.")
    return int(text)


Number = Annotated[int, Header("X-Number", read=number_of, raises=(MalformedRequest,))]


class Things(Controller):
    path = "/things"

    @get("/{thing_id}/{number}/{name}")
    async def read(self, thing_id: UUID, number: int, name: str) -> list[str]:
        """Path."""
        return [str(thing_id), repr(number), name]

    @get()
    async def search(self, text: str, page: int = 1, colour: Colour | None = None) -> list[str]:
        """Query[0-9]*."""
        return [text, repr(page), repr(colour)]

    @get("/headers")
    async def headers(self, number: Number, name: Annotated[str | None, Header("x-NAME")] = "unused") -> list[str]:
        """Headers."""
        return [repr(number), repr(name)]

    @get("/signed")
    async def signed(self, signature: Annotated[str, Header("X-Signature", required=True)]) -> list[str]:
        """A required header."""
        return [signature]

    @patch("/{number}")
    async def change(self, number: int, data: Draft, if_match: IfMatch) -> list[str]:
        """If-Match, and a body."""
        return [repr(number), data.text, repr(if_match and sorted(if_match))]

    @post("/{number}", status_code=200)
    async def create(self, request: Request, number: int, data: Draft, database: Database, page: int = 1) -> list[str]:
        """A service, a body and a query."""
        return [request.method, request.path, repr(number), data.text, type(database).__name__, repr(page)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with serve_controllers(tmp_path_factory.mktemp("parameters"), Things) as started:
        yield started


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", f"/{ID}/-7/a%20b", {}, [ID, "-7", "a b"]),
        ("GET", "?text=x", {}, ["x", "1", "None"]),
        ("GET", "?page=2&text=x&colour=red", {}, ["x", "2", "<Colour.RED: 'red'>"]),
        ("GET", "?page=2", {}, "422 text"),
        ("GET", "?text=x&page=y", {}, "422 page"),
        ("GET", "?text=x&colour=blue", {}, "422 colour"),
        ("GET", "/headers", {"x-number": "5"}, ["5", "None"]),
        ("GET", "/headers", {"x-number": "5", "x-name": "a"}, ["5", "'a'"]),
        ("GET", "/headers", {"x-number": "five"}, "400 "),
        ("GET", "/headers", {}, "400 "),
        ("GET", "/signed", {"x-signature": "s"}, ["s"]),
        ("GET", "/signed", {}, "400 "),  # breaks when ``required`` is for the document alone
        ("PATCH", "/3", {"if-match": '"1.v1", "2.v1", "3.v2"'}, ["3", "t", "[1, 2]"]),
        ("PATCH", "/3", {"if-match": "*"}, ["3", "t", "None"]),
        ("PATCH", "/3", {}, "428 "),
        ("POST", "/3?page=4", {}, ["POST", "/v1/things/3", "3", "t", "SqliteDatabase", "4"]),
        ("POST", "/3?page=y", {}, "422 page"),
    ],
)
def test_a_handler_gets_its_values(
    server: InProcess, method: str, path: str, headers: dict[str, str], expected: object
) -> None:
    media_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    sent = [(name.encode(), value.encode()) for name, value in {"content-type": media_type, **headers}.items()]
    response = server.send(method, f"/v1/things{path}", sent, b'{"text":"t"}' if method != "GET" else b"")
    found = msgspec.json.decode(response.body)
    if response.status != 200:
        found = f"{response.status} {' '.join(each['path'] for each in found.get('errors', ()))}"
    assert found == expected


def test_a_header_documents_its_errors() -> None:
    async def handler(number: Number) -> None: ...

    (header,) = infer(handler, "GET").headers.values()
    assert header.raises == (MalformedRequest,)
    assert issubclass(header.raises[0], AppError)
