"""A route of each kind of declaration that the notes do not have."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select

from restwell.database import Database, page_query
from restwell.errors import Conflict
from restwell.pages import Cursors, Page, PageFilter
from restwell.web import (
    Controller,
    Cookie,
    Header,
    IfMatch,
    Request,
    Response,
    Stream,
    Upload,
    check_version,
    created,
    delete,
    download,
    get,
    immutable,
    patch,
    post,
    put,
    redirect,
    requires_role,
    signed_in,
    stream_json,
    with_etag,
)
from tiny.app import Note, notes

pages = page_query("kinds.page", select(notes.c.id, notes.c.text), [notes.c.id], Note)
SOMETHING = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4c0")


class Kind(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    number: int = 0


class KindForm(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    is_open: bool = False


class Taken(Conflict):
    """The name is taken."""

    code, message = "taken", "The name is taken. Choose another."


class KindController(Controller):
    path = "/kinds"
    tags = ["kinds"]

    @get()
    async def list(self, filters: PageFilter, cursors: Cursors, database: Database) -> Page[Note]:
        """List notes, in pages."""
        return await cursors.fetch(database, pages, filters)

    @post(raises=[Taken], other_responses={200: "It exists."})
    async def add(self, data: Kind) -> Response[Kind]:
        """Add a kind."""
        if data.name == "taken":
            raise Taken
        return created(data, data.number, headers={"x-name": data.name})

    @get("/{kind_id}")
    async def read(self, kind_id: UUID, detail: int = 1, name: str | None = None) -> Response[Kind]:
        """Read a kind."""
        return with_etag(Kind(name or str(kind_id), detail), 3)

    @put("/{kind_id}", guards=[signed_in])
    async def replace(self, kind_id: UUID, data: Kind, if_match: IfMatch) -> Response[Kind]:
        """Replace a kind."""
        check_version(3, if_match)
        return with_etag(Kind(f"{data.name} {kind_id}"), 4)

    @patch("/{kind_id}", guards=[requires_role("owner")], status_code=202)
    async def change(self, kind_id: UUID, data: Kind) -> Kind:
        """Change a kind."""
        return Kind(f"{data.name} {kind_id}")

    @delete("/{kind_id}", guards=[signed_in])
    async def remove(self, kind_id: UUID) -> None:
        """Remove a kind."""

    @post("/forms")
    async def send(self, form: KindForm) -> Response[None]:
        """Send a form."""
        return redirect("/v1/kinds", Cookie("kind", form.name.replace(" ", "-"), 60))

    @post("/files", max_body_bytes=2_000)
    async def upload(self, upload: Upload) -> str:
        """Upload a file."""
        return f"{upload.filename} {upload.media_type} {len(upload.content)}"

    @get("/files")
    async def read_file(self) -> Stream[bytes]:
        """Download a file."""
        return download(Path(__file__), "text/x-python")

    @get("/exports")
    async def export(self) -> Stream[dict[str, int]]:
        """Export kinds."""

        async def chunks() -> AsyncIterator[bytes]:
            for piece in (b'{"a":', b"", b"1}"):
                yield piece

        return stream_json(chunks(), "kinds.json")

    @get("/images", media_type="image/png")
    async def read_image(self) -> Response[bytes]:
        """Read an image."""
        return immutable(b"\x89PNG", "image/png")

    @get("/named/{name}", include_in_schema=False, rate_limit=None)
    async def read_named(self, request: Request, name: str, x: Annotated[str | None, Header("X-Kind")] = None) -> str:
        """Read what the request has."""
        return f"{request.method} {request.path} {name} {x} {request.path_parameters} {sorted(request.headers)}"

    @post("/raw")
    async def send_raw(self, request: Request) -> int:
        """Send any body."""
        return len(await request.body())

    @post("/paid/{kind_id}", guards=[signed_in], idempotent=True)
    async def pay(self, kind_id: UUID, data: Kind) -> Response[Kind]:
        """Pay once."""
        return created(Kind(f"{data.name} {kind_id}"), kind_id)
