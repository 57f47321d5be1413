"""The application that the tests of accounts run: every part, own roles and scopes, and a resource of its own."""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from restwell import App, Project, Restwell
from restwell.accounts import Accounts, PersonalList, PersonalValue, SeedUser, seed_users
from restwell.auth import Actor
from restwell.database import Database
from restwell.errors import NotFound
from restwell.ids import new_id
from restwell.pages import Page, PageFilter
from restwell.settings import Settings
from restwell.web import (
    Controller,
    Feature,
    Response,
    Version,
    created,
    delete,
    get,
    post,
    requires_role,
    signed_in,
    signed_in_or_api_key,
)

PASSWORD: Final = "a password of the tests"


class Role(StrEnum):
    MEMBER = "member"
    ADMIN = "administrator"


class Scope(StrEnum):
    NOTES_READ = "notes:read"
    NOTES_DELETE = "notes:delete"
    EVENTS_READ = "events:read"


SCOPES: Final = {
    Scope.NOTES_READ: "Read all notes.",
    Scope.NOTES_DELETE: "Delete all notes.",
    Scope.EVENTS_READ: "Read the security events of all users.",
}
USERS: Final = (
    SeedUser("admin@app.example", "Admin", Role.ADMIN),
    SeedUser("member@app.example", "Member", Role.MEMBER),
    SeedUser("other@app.example", "Other", Role.MEMBER),
)


class Note(Struct, frozen=True):
    id: UUID
    text: str


class NoteRequest(Struct, frozen=True, forbid_unknown_fields=True):
    text: str


class NoteCount(Struct, frozen=True):
    count: int


class Notes(PersonalList):
    """In memory: what is tested is who may reach them. Admins see all notes in a list."""

    member = "notes"

    def __init__(self) -> None:
        self._of: dict[UUID, dict[UUID, Note]] = {}

    def add(self, owner: Actor, text: str) -> Note:
        note = Note(new_id(), text)
        self._of.setdefault(owner.id, {})[note.id] = note
        return note

    def find(self, owner: Actor, note_id: UUID) -> Note:
        if note_id not in self._of.get(owner.id, {}):
            raise NotFound
        return self._of[owner.id][note_id]

    def visible_to(self, actor: Actor) -> list[Note]:
        owners = self._of if actor.role == Role.ADMIN else {actor.id} & self._of.keys()
        return [note for owner in owners for note in self._of[owner].values()]

    def count(self) -> int:
        return sum(map(len, self._of.values()))

    def delete_all(self) -> None:
        self._of.clear()

    async def read_personal_page(self, owner: Actor, filters: PageFilter) -> Page[Note]:
        found = self.visible_to(owner)
        first = int(filters.cursor or 0)
        last = first + filters.limit
        return Page(found[first:last], str(last) if found[last:] else None)


class NoteStatistics(PersonalValue):
    member = "note_count"

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def read_personal_value(self, owner: Actor) -> NoteCount:
        return NoteCount(len(self._notes.visible_to(owner)))


class NoteController(Controller):
    path = "/notes"
    tags = ["Notes"]

    @post(guards=[signed_in])
    async def add_note(self, data: NoteRequest, actor: Actor, notes: Notes) -> Response[Note]:
        """Add a note.

        It is the own one of the user.
        """
        note = notes.add(actor, data.text)
        return created(note, note.id)

    @get("/{note_id}", guards=[signed_in_or_api_key(Scope.NOTES_READ)])
    async def get_note(self, note_id: UUID, actor: Actor, notes: Notes) -> Note:
        """Retrieve a note."""
        return notes.find(actor, note_id)

    @get("/count", guards=[requires_role(Role.ADMIN, or_scope=Scope.NOTES_READ)])
    async def count_notes(self, notes: Notes) -> NoteCount:
        """Count all notes."""
        return NoteCount(notes.count())

    @delete(guards=[requires_role(Role.ADMIN, or_scope=Scope.NOTES_DELETE)])
    async def delete_notes(self, notes: Notes) -> None:
        """Delete all notes."""
        notes.delete_all()


notes: Final = Feature(
    controllers=[NoteController],
    services=[Notes, NoteStatistics],
    tag_descriptions={"Notes": "Notes of users."},
)


def create_app(settings: Settings, *features: Feature, **options: Any) -> App:
    """``features`` are added to those of the application, ``options`` are of its accounts."""
    chosen = {"scopes": SCOPES, "events_scope": Scope.EVENTS_READ} | options
    version = Version("/v1", [Accounts(roles=Role, **chosen), notes])
    kit = Restwell(settings, name="accounts")
    return kit.app([*features, version], contact="api@accounts.example", license_id="MIT")


async def seed(database: Database) -> str:
    await seed_users(database, USERS, PASSWORD)
    return f"{len(USERS)} users"


accounts: Final = Project(name="accounts", settings=Settings, create_app=create_app, seed=seed, banner=lambda: "")
