"""Every path and value has one canonical form, so that proxies and caches compare what the application reads."""

from collections.abc import Iterator
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Literal
from urllib.parse import unquote
from uuid import UUID

import pytest
from msgspec import Meta, Struct
from pydantic import SecretStr

from fuzzing import InProcess, checked_status, in_process
from restwell.errors import AppError
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.web import Controller, FromPath, Inject, Response, get, public
from restwell.web._request import decode_query
from tiny.app import app_of

ID = "018f0000-abcd-7000-8000-000000000001"


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Filter(Struct, frozen=True):
    n: Annotated[int, Meta(ge=-100, le=100)] | None = None
    x: float | None = None
    yes: bool = False
    id: UUID | None = None
    color: Color | None = None
    size: Size | None = None
    kind: Literal["a", "b"] | None = None
    at: Annotated[datetime, Meta(tz=True)] | None = None
    on: date | None = None
    text: str | None = None
    either: int | str | None = None


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("n=0", 0),
        ("n=-5", -5),
        ("n=%35", 5),
        ("x=2", 2.0),
        ("x=2.50", 2.5),
        ("x=1e1", 10.0),
        ("yes=true", True),
        (f"id={ID}", UUID(ID)),
        ("color=red", Color.RED),
        ("size=1", Size.SMALL),
        ("kind=a", "a"),
        ("at=2026-01-31T00:00:00Z", datetime.fromisoformat("2026-01-31T00:00:00+00:00")),
        ("on=2026-01-31", date(2026, 1, 31)),
        ("text=null", "null"),
        ("text=", ""),
        ("text=%E2%82%AC", "\u20ac"),
        ("either=5", "5"),
        ("other=1&other=2&n=1", 1),
    ],
)
def test_a_canonical_query_value_is_parsed(query: str, value: object) -> None:
    given, default = decode_query(query.encode(), Filter), Filter()
    assert [
        getattr(given, name) for name in Filter.__struct_fields__ if getattr(given, name) != getattr(default, name)
    ] == [value]


NOT_INTEGERS = (
    "null",
    "1.0",
    "1e1",
    "+5",
    " 5",
    "5 ",
    "%205",
    "%2B5",
    "%EF%BC%95",
    "1_000",
    "0x10",
    "01",
    "-0x1",
    "--1",
    "",
    "1" * 5_000,
)
NOT_BOOLEANS = ("True", "TRUE", "1", "0", "yes", "on", "null", "", "false%20")
NOT_NUMBERS = ("nan", "inf", "Infinity", "1.", ".5", "1e999", "0x1p3", "1,5", "null", "", "1" * 5_000)
NOT_UUIDS = (ID.upper(), f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", ""), f"{ID}%20", f"{ID}%0A", "null", "")


@pytest.mark.parametrize(
    "query",
    [
        *(f"n={text}" for text in NOT_INTEGERS),
        *(f"size={text}" for text in (*NOT_INTEGERS, "2", "SMALL")),
        *(f"yes={text}" for text in NOT_BOOLEANS),
        *(f"x={text}" for text in NOT_NUMBERS),
        *(f"id={text}" for text in NOT_UUIDS),
        *(f"color={text}" for text in ("RED", "Red", "red%20", "null", "", "Color.RED")),
        *(f"kind={text}" for text in ("A", "c", "null", "")),
        *(f"at={text}" for text in ("1700000000", "2026-01-31", "2026-01-31T00:00:00+00:00", "now", "null", "")),
        *(f"on={text}" for text in ("20260131", "2026-1-31", "2026-02-30", "1700000000", "null", "")),
        "n=-0",
        "n=1&n=1",
        "n=1&n=2",
        "%6e=1&n=1",
        "n=%FF",
        "n=%ED%A0%80",
        "%FF=1",
        "n=\u0665",
        *(f"text={text}" for text in ("%", "100%", "%4", "%zz", "%%25", "%u0041", "%-1", "% 1")),
        "%=1",
    ],
)
def test_a_query_value_that_is_not_canonical_is_refused(query: str) -> None:
    """Breaks with the lax mode of the decoder: `null` is absent, `1.0` and `1e1` are integers, `1700000000` is a time.

    Breaks when a bare percent sign is accepted.
    """
    with pytest.raises(AppError) as refused:
        decode_query(query.encode(), Filter)
    assert refused.value.status in {400, 422}


class Things(Controller):
    path = "/things"

    @get("/{thing_id:uuid}")
    async def plain(self, thing_id: FromPath[UUID]) -> dict[str, UUID]:
        """Served by the fast path."""
        return {"id": thing_id}

    @get("/by-framework/{thing_id:uuid}", sync_to_thread=False)
    def by_framework(self, thing_id: FromPath[UUID]) -> dict[str, UUID]:
        """Served by the framework."""
        return {"id": thing_id}

    @get("/kept/{thing_id:uuid}", cached=public(ttl_seconds=60, tags=[]))
    async def kept(self, thing_id: FromPath[UUID], filters: Inject[Filter]) -> Response[dict[str, UUID]]:
        """Served by the edge."""
        return Response({"id": filters.id or thing_id})

    @get("/kept-flag", cached=public(ttl_seconds=60, tags=[]))
    async def kept_flag(self, filters: Inject[Filter]) -> dict[str, bool]:
        """Served by the edge, which normalizes the query."""
        return {"yes": filters.yes}

    @get("/number/{number:int}")
    async def number(self, number: FromPath[int]) -> dict[str, int]:
        """A number."""
        return {"number": number}

    @get("/named/{name:str}")
    async def named(self, name: FromPath[str]) -> dict[str, str]:
        """Any text."""
        return {"name": name}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("things")
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder}/tiny.db")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        runtime_dir=folder,
    )
    with in_process(app_of(settings, Things)) as started:
        yield started


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_cached_route_passes_a_boolean_as_the_client_wrote_it(server: InProcess, text: str) -> None:
    """Breaks when the edge formats a boolean like Python: the handler then rejects `True` of every client."""
    response = server.send("GET", f"/v1/things/kept-flag?yes={text}")
    assert (response.status, response.body) == (200, b'{"yes":%s}' % text.encode())


PATHS = ["/metrics", "/docs", "/openapi.json", "/health/live", f"/v1/things/{ID}", f"/v1/things/by-framework/{ID}"]
PATHS += [f"/v1/things/kept/{ID}", "/v1/things/number/-5", "/docs/start.js"]


@pytest.mark.parametrize(
    "path", [*PATHS, "/v1/things/named/a%20b", "/v1/things/named/%C3%A9", "/v1/things/named/a:b@c"]
)
def test_a_canonical_path_is_found(server: InProcess, path: str) -> None:
    assert server.send("GET", path).status == 200


def aliases(path: str) -> Iterator[str]:
    yield f"{path}/"
    yield f"{path}%2f"
    yield f"{path}%2F"
    yield f"/{path}"
    yield path.replace("/", "//")
    yield f"/.{path}"
    yield f"/x/..{path}"
    yield f"{path}/."
    yield path[:-1] + f"%{ord(path[-1]):02x}"
    yield path[:-1] + f"%{ord(path[-1]):02X}"
    yield path.replace("/", "/%2e/", 1)
    yield path.replace("/", "%2F")
    yield path.upper()
    yield f"{path};a=b"
    yield f"{path}%00"
    yield f"{path}%20"
    yield f"{path}\\"
    yield path[1:]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_canonical_is_not_found(server: InProcess, path: str) -> None:
    """Breaks with the router of the framework alone: it drops slashes and decodes characters."""
    for alias in aliases(path):
        for method in (
            "GET",
            "HEAD",
            *(["OPTIONS"] if path != "/docs/start.js" else []),
        ):  # any name matches this route
            response = server.send(method, alias)
            assert (alias, method, response.status) == (alias, method, 404)
    for alias in aliases("/v1/things/named/x"):
        if not alias.startswith("/v1/things/named/x") or alias.endswith("/"):
            assert checked_status(server.send("GET", alias)) == "404"


@pytest.mark.parametrize("before", ["/v1/things/", "/v1/things/by-framework/", "/v1/things/kept/"])
@pytest.mark.parametrize(
    "written", [ID.upper(), ID.replace("-", ""), f"%7B{ID}%7D", f"urn:uuid:{ID}", f"{ID[:-1]}A", ID[:-1], f"{ID}0", "0"]
)
def test_an_id_that_is_not_canonical_is_not_found(server: InProcess, before: str, written: str) -> None:
    """Breaks with the UUID parser of the framework: it accepts braces, upper case and `urn:uuid:`."""
    assert checked_status(server.send("GET", before + written)) == "404"


@pytest.mark.parametrize(
    "written", ["+5", "-0", "05", "5.0", "1e1", "1_0", "%EF%BC%95", "%205", "0x5", "9" * 30, "", "-"]
)
def test_a_number_in_a_path_that_is_not_canonical_is_not_found(server: InProcess, written: str) -> None:
    """Breaks with the integer parser of the framework, which is Python's ``int``."""
    assert checked_status(server.send("GET", f"/v1/things/number/{written}")) == "404"


@pytest.mark.parametrize("written", ["%c3%a9", "%61", "a%3Ab", "a%2fb", "\u00e9", "%00", "a%0Ab", "%7F"])
def test_a_percent_encoding_that_is_not_canonical_is_not_found(server: InProcess, written: str) -> None:
    """Breaks when a text may contain a control character, or when the encoded form is not compared with the request."""
    assert checked_status(server.send("GET", f"/v1/things/named/{written}")) == "404"


@pytest.mark.parametrize("root", ["/api", "/v1", "/a%20b", "/"])
@pytest.mark.parametrize(
    "path", [f"/v1/things/{ID}", f"/v1/things/kept/{ID}", f"/v1/things/by-framework/{ID}", "/metrics"]
)
def test_a_path_behind_a_prefix_has_one_spelling(server: InProcess, root: str, path: str) -> None:
    """Breaks when the framework removes the prefix: it matches it anywhere in the path."""
    prefix = root.rstrip("/")
    assert server.send("GET", prefix + path, root_path=unquote(root)).status == 200
    others = [*aliases(prefix + path), f"/x{prefix}{path}", f"{prefix}x{path}", f"{prefix}{prefix or '/x'}{path}"]
    if path != "/metrics":
        others += [prefix + path.replace(ID, other) for other in (ID.upper(), ID.replace("-", ""), f"urn:uuid:{ID}")]
    for other in others:
        response = server.send("GET", other, root_path=unquote(root))
        assert (other, response.status) == (other, 404)


def test_a_path_whose_prefix_the_server_removed_is_found(server: InProcess) -> None:
    assert server.send("GET", f"/v1/things/{ID}", root_path="/api").status == 200
