"""Changes of models, each with what ``restwell migrate --check`` says of it and the phases of its migrations."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
    true,
)

from restwell.database import Flag, Id, Timestamp

ID: Final = ("id", Integer)


def models(*items: Any, more: bool = False, **options: Any) -> MetaData:
    """Authors, and notes with these columns and constraints; with ``more``, tags too."""
    metadata = MetaData()
    Table("authors", metadata, Column(*ID, primary_key=True), Column("name", Text, nullable=False))
    Table("notes", metadata, Column(*ID, primary_key=True), *items, **options)
    if more:
        Table(
            "tags",
            metadata,
            Column("note_id", Integer, ForeignKey("notes.id", ondelete="CASCADE"), primary_key=True),
            Column("tag", String(40), primary_key=True),
            Column("user_id", Id, nullable=False),
            Column("at", Timestamp, nullable=False),
            UniqueConstraint("user_id", "tag", name="tags_once"),
            CheckConstraint("tag <> ''", name="tags_not_empty"),
            Index("tags_by_age", text("at DESC"), "tag"),
        )
    return metadata


class ModelChange(NamedTuple):
    before: MetaData
    after: MetaData
    sentences: Sequence[str]
    phases: Sequence[str]


def _body(**options: Any) -> Column[Any]:
    return Column("body", Text, **options)


CHANGES: Final = {
    "a table": ModelChange(models(), models(more=True), ["the table tags is in the models only"], ["pre"]),
    "a dropped table": ModelChange(models(more=True), models(), ["the table tags is in the schema only"], ["post"]),
    "columns with and without defaults": ModelChange(
        models(),
        models(
            _body(),
            Column("pinned", Flag, nullable=False, server_default=true()),
            Column("kind", Text, nullable=False, server_default="plain 'text'"),
            Column("at", Timestamp),
            Column("stars", Integer, nullable=False, server_default=text("0")),
        ),
        [f"the column notes.{name} is in the models only" for name in ("body", "pinned", "kind", "at", "stars")],
        ["pre"],
    ),
    "a column with the time as its default": ModelChange(
        models(),
        models(Column("day", Text, server_default=func.current_date())),
        ["the column notes.day is in the models only"],
        ["pre"],
    ),
    "a dropped column": ModelChange(
        models(_body()), models(), ["the column notes.body is in the schema only"], ["post"]
    ),
    "a dropped column that is required": ModelChange(
        models(_body(nullable=False)), models(), ["the column notes.body is in the schema only"], ["pre", "post"]
    ),
    "indexes": ModelChange(
        models(_body(), Column("at", Integer)),
        models(
            _body(index=True),
            Column("at", Integer),
            Index("notes_by_age", text("at DESC"), "id", unique=True),
            Index("notes_old", "id", postgresql_where=text("at < 9"), sqlite_where=text("at < 9")),
        ),
        [f"the index {name} of notes is in the models only" for name in ("ix_notes_body", "notes_by_age", "notes_old")],
        ["pre"],
    ),
    "a changed and a dropped index": ModelChange(
        models(_body(), Index("one", "body"), Index("two", "body")),
        models(_body(), Index("one", "body", "id")),
        ["the index one of notes differs in the schema", "the index two of notes is in the schema only"],
        ["pre", "post"],
    ),
    "a unique constraint": ModelChange(
        models(_body()),
        models(_body(unique=True)),
        ["the unique constraint on notes (body) is in the models only"],
        ["pre"],
    ),
    "a dropped unique constraint": ModelChange(
        models(_body(unique=True)),
        models(_body()),
        ["the unique constraint on notes (body) is in the schema only"],
        ["post"],
    ),
    "a foreign key": ModelChange(
        models(Column("author_id", Integer)),
        models(Column("author_id", Integer, ForeignKey("authors.id", ondelete="CASCADE"))),
        ["the foreign key notes (author_id) to authors ON DELETE CASCADE is in the models only"],
        ["post"],
    ),
    "a column with a foreign key": ModelChange(
        models(),
        models(Column("author_id", Integer, ForeignKey("authors.id")), Index("notes_by_author", "author_id")),
        [
            "the column notes.author_id is in the models only",
            "the index notes_by_author of notes is in the models only",
            "the foreign key notes (author_id) to authors is in the models only",
        ],
        ["pre", "pre"],
    ),
    "a dropped foreign key": ModelChange(
        models(Column("author_id", Integer, ForeignKey("authors.id"))),
        models(Column("author_id", Integer)),
        ["the foreign key notes (author_id) to authors is in the schema only"],
        ["post"],
    ),
    "a column that may be null": ModelChange(
        models(_body(nullable=False), Index("one", "body")),
        models(_body(), Index("one", "body")),
        ["notes.body may be null in the models and not in the schema"],
        ["pre"],
    ),
    "a column that may not be null": ModelChange(
        models(_body()),
        models(_body(nullable=False)),
        ["notes.body may be null in the schema and not in the models"],
        ["post"],
    ),
    "a default": ModelChange(
        models(_body(server_default="a")),
        models(_body(server_default="b")),
        ["the default of notes.body is 'b'"],
        ["pre"],
    ),
    "a check": ModelChange(
        models(_body()),
        models(_body(), CheckConstraint("body <> ''", name="notes_body")),
        ["the check notes_body of notes is in the models only, or differs in the schema"],
        ["post"],
    ),
    "a dropped check": ModelChange(
        models(_body(), CheckConstraint("body <> ''", name="notes_body")),
        models(_body()),
        ["the check notes_body of notes is in the schema only"],
        ["post"],
    ),
    "everything of one table": ModelChange(
        models(_body(nullable=False), Column("old", Text, unique=True), Column("n", Integer), Index("one", "body")),
        models(
            _body(server_default="x"),
            Column("n", Integer, nullable=False),
            Column("author_id", Integer, ForeignKey("authors.id")),
            Column("new", Text, nullable=False, server_default="y"),
            Index("two", "new", "n"),
        ),
        [],
        ["pre", "pre", "post"],
    ),
}
