"""No user reaches the objects of another: a query without its owner, and a list of all, are found."""

from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from restwell import Restwell
from restwell.auth import Actor
from restwell.errors import NotFound
from restwell.settings import Settings
from restwell.testing import ApiClient, check_ownership, running
from restwell.web import Controller, Version, delete, get, patch, post, requires_role, signed_in
from tiny.app import USERS, authenticate

NOTE: Final = UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4c7")
OWNER: Final = USERS["owner"]


class Text(Struct, forbid_unknown_fields=True):
    text: str


class Change(Struct, forbid_unknown_fields=True):
    text: str = ""


def check_owner(note_id: UUID, actor: Actor) -> None:
    if (note_id, actor.id) != (NOTE, OWNER):
        raise NotFound


class Notes(Controller):
    path = "/notes"
    guards = [signed_in]

    @get()
    async def list(self, actor: Actor) -> list[UUID]:
        """List notes."""
        return [NOTE] if actor.id == OWNER else []

    @post()
    async def add(self, data: Text) -> Text:
        """Add a note."""
        return data

    @get("/{note_id}")
    async def find(self, note_id: UUID, actor: Actor) -> str:
        """Read a note."""
        check_owner(note_id, actor)
        return "note"

    @patch("/{note_id}")
    async def change(self, note_id: UUID, data: Change, actor: Actor) -> Change:
        """Change a note."""
        check_owner(note_id, actor)
        return data

    @post("/{note_id}/comments")
    async def comment(self, note_id: UUID, data: Text, actor: Actor) -> Text:
        """Comment on a note."""
        check_owner(note_id, actor)
        return data

    @get("/colours/{colour}")
    async def colour(self, colour: str) -> str:
        """Read a colour."""
        return colour

    @delete("/{note_id}", guards=[requires_role("owner")])
    async def remove(self, note_id: UUID) -> None:
        """Delete a note."""


class Leaks(Controller):
    path = "/leaks"
    guards = [signed_in]

    @get()
    async def all(self) -> dict[str, list[UUID]]:
        """List the notes of every user."""
        return {"items": [NOTE]}

    @get("/{note_id}")
    async def find(self, note_id: UUID) -> str:
        """Read any note."""
        return str(note_id)


OBJECTS: Final = {"note_id": NOTE, "colour": None}
BODIES: Final = {"POST /v1/notes/{note_id}/comments": {"text": "x"}}


async def faults(settings: Settings, *controllers: type[Controller], **options: Any) -> list[str]:
    app = Restwell(settings, name="notes").app([Version("/v1", controllers)], authenticate=authenticate)
    async with running(app) as client:
        owner, other = ApiClient(client, "owner"), ApiClient(client, "guest")
        wanted = {"objects": OBJECTS, "bodies": BODIES, "owner": owner, "other": other, **options}
        try:
            await check_ownership(app, **wanted)
        except AssertionError as error:
            return [" ".join(line.split()) for line in str(error).splitlines()[1:]]
    return []


async def test_an_application_that_checks_every_owner_passes(tiny_settings: Settings) -> None:
    assert await faults(tiny_settings, Notes) == []


async def test_a_query_and_a_list_without_the_owner_are_found(tiny_settings: Settings) -> None:
    assert await faults(tiny_settings, Leaks) == [
        "GET /v1/leaks has the object of the owner: note_id",
        "GET /v1/leaks/{note_id} 200 instead of 404",
    ]


async def test_what_is_not_checked_is_found(tiny_settings: Settings) -> None:
    """Breaks if a parameter without an object, a rejected body or the id of no object passes."""
    assert await faults(tiny_settings, Notes, objects={"/v1/notes/{note_id}": NOTE}, bodies={}) == [
        "POST /v1/notes/{note_id}/comments 415 instead of 404: give a valid body in bodies",
        "GET /v1/notes/colours/{colour} give colour in objects: an id of the owner, or None",
    ]
    assert await faults(tiny_settings, Notes, objects={"note_id": OWNER, "colour": None}) == [
        "GET /v1/notes/{note_id} the owner gets a 404: are the ids of the owner's objects?"
    ]
