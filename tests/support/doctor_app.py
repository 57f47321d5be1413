"""An application without a finding of ``restwell doctor``, and one with the faults of an application."""

import sys

from sqlalchemy import select

from restwell import App, Project, Restwell
from restwell.database import Database, param, query
from restwell.settings import Settings
from restwell.web import Controller, Feature, Version, get, post, signed_in
from tiny.app import (
    MIGRATIONS,
    AccountController,
    Draft,
    Note,
    Notes,
    add_note,
    add_reminder,
    authenticate,
    list_notes,
    notes,
)

notes_of_text = query(
    "notes.of_text", select(notes.c.id).where(notes.c.text == param("text")).order_by(notes.c.id).limit(1), into=int
)


class HealthyController(Controller):
    path = "/notes"

    @get()
    async def list(self, database: Database) -> Notes:
        """List ten notes."""
        return Notes(await database.all(list_notes, count=10))

    @post(guards=[signed_in])
    async def add(self, data: Draft, database: Database) -> Note:
        """Add a note."""
        return await database.one(add_note, text=data.text)


class FaultyController(Controller):
    path = "/faults"

    @post()
    async def add_unguarded(self, data: Draft, database: Database) -> Note:
        """Add a note without a guard."""
        return await database.one(add_note, text=data.text)

    @get("/repeated")
    async def repeat(self, database: Database) -> Notes:
        """Run a query three times."""
        return Notes([note for _ in range(3) for note in await database.all(list_notes, count=1)])


def create_app(settings: Settings, *more: type[Controller]) -> App:
    feature = Feature(
        controllers=[HealthyController, AccountController, *more], jobs=[add_reminder], queries=[sys.modules[__name__]]
    )
    return Restwell(settings, name="doctor").app(
        [Version("/v1", [feature])], authenticate=authenticate, migrations=MIGRATIONS
    )


healthy = Project(name="doctor", settings=Settings, create_app=create_app)
faulty = Project(name="doctor", settings=Settings, create_app=lambda settings: create_app(settings, FaultyController))


def fail(_: Settings) -> App:
    raise LookupError("the settings of the application are incomplete")


broken = Project(name="doctor", settings=Settings, create_app=fail)
