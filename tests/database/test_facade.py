"""The conformance suite of the Database interface, run on every backend."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from msgspec import Struct
from pydantic import BaseModel
from sqlalchemy import Column, Date, Integer, MetaData, Table, Text, delete, func, insert, select, update

from restwell.database import (
    Database,
    DatabaseUnavailable,
    Flag,
    ForeignKeyViolation,
    Id,
    RowNotFound,
    Timestamp,
    UniqueViolation,
    any_of,
    open_database,
    param,
    query,
)
from restwell.ids import new_id

notes = Table(
    "notes",
    MetaData(),
    Column("id", Id, primary_key=True),
    Column("text", Text),
    Column("done", Flag, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Timestamp),
)


class Note(Struct, frozen=True):
    id: UUID
    text: str | None
    done: bool
    number: int
    at: datetime | None


CREATE = {
    "sqlite": "CREATE TABLE notes (id BLOB PRIMARY KEY, text TEXT, done BOOLEAN, number INTEGER UNIQUE, at BIGINT)",
    "postgresql": "CREATE TABLE notes"
    " (id uuid PRIMARY KEY, text text, done boolean, number integer UNIQUE, at timestamptz)",
}
NOW = datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=UTC)

insert_note = query(
    "notes.insert",
    insert(notes).values({c.name: param(c.name) for c in notes.columns}).returning(*notes.columns),
    into=Note,
)
by_number = query("notes.by_number", select(*notes.columns).where(notes.c.number == param("number")), into=Note)
in_order = query("notes.in_order", select(*notes.columns).order_by(notes.c.number).limit(100), into=Note)
numbers = query("notes.numbers", select(notes.c.number, notes.c.text).order_by(notes.c.number).limit(100), into=dict)
count = query("notes.count", select(func.count().label("n")).select_from(notes), into=int)
of_ids = query(
    "notes.of_ids", select(notes.c.number).where(any_of(notes.c.id, "ids")).order_by(notes.c.number), into=int
)
of_numbers = query("notes.of_numbers", select(notes.c.number).where(any_of(notes.c.number, "numbers")), into=int)
of_times = query("notes.of_times", select(notes.c.number).where(any_of(notes.c.at, "times")), into=int)
of_texts = query("notes.of_texts", select(notes.c.number).where(any_of(notes.c.text, "texts")), into=int)
finish = query("notes.finish", update(notes).where(notes.c.done.is_(False)).values(done=True, text="finished"))
remove = query("notes.remove", delete(notes).where(notes.c.number == param("number")))


@pytest.fixture
async def opened(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url, pool_size=4) as database:
        async with database.transaction() as tx:
            await tx.run_script(CREATE[database.dialect])
        yield database


def note(number: int, **changed: object) -> dict[str, object]:
    return {"id": new_id(), "text": f"note {number}", "done": False, "number": number, "at": NOW, **changed}


async def test_values_are_read_as_they_were_written(opened: Database) -> None:
    sent = note(1, text="ünï¢ødé 💡 '\"; --")
    assert await opened.one(insert_note, **sent) == Note(**sent)  # type: ignore[arg-type]  # same field names
    empty = note(2, text=None, at=None, done=True)
    await opened.run(insert_note, **empty)
    assert await opened.find(by_number, number=2) == Note(**empty)  # type: ignore[arg-type]  # same field names


async def test_rows_become_structs_dicts_or_plain_values(opened: Database) -> None:
    await opened.run_many(insert_note, [note(n) for n in (3, 1, 2)])
    assert [row.number for row in await opened.all(in_order)] == [1, 2, 3]
    assert (await opened.all(numbers))[0] == {"number": 1, "text": "note 1"}
    assert await opened.one(count) == 3


@dataclass
class Line:
    number: int
    done: bool


class Model(BaseModel):
    number: int
    done: bool


_lines = select(notes.c.number, notes.c.done).order_by(notes.c.number).limit(100)
as_data, as_model, as_tuples = (query("notes.lines", _lines, into=kind) for kind in (Line, Model, tuple))


async def test_rows_become_dataclasses_models_and_tuples(opened: Database) -> None:
    """Regression: each row became only its first column. SQLite's 0 and 1 are converted to bool in each type."""
    await opened.run_many(insert_note, [note(1), note(2, done=True)])
    assert await opened.all(as_data) == [Line(1, done=False), Line(2, done=True)]
    assert await opened.all(as_model) == [Model(number=1, done=False), Model(number=2, done=True)]
    assert await opened.all(as_tuples) == [(1, False), (2, True)]


async def test_a_missing_row_is_none_for_find_and_an_error_for_one(opened: Database) -> None:
    assert await opened.find(by_number, number=9) is None
    with pytest.raises(RowNotFound, match=r"notes\.by_number"):
        await opened.one(by_number, number=9)


async def test_run_returns_the_number_of_changed_rows(opened: Database) -> None:
    await opened.run_many(insert_note, [note(n) for n in range(3)])
    assert await opened.run(finish) == 3
    assert await opened.run(finish) == 0
    assert {row.text for row in await opened.all(in_order)} == {"finished"}
    assert await opened.run(remove, number=0) == 1
    assert await opened.run(remove, number=0) == 0


async def test_one_parameter_holds_any_number_of_values(opened: Database) -> None:
    rows = [note(n) for n in range(5)]
    await opened.run_many(insert_note, rows)
    assert await opened.all(of_ids, ids=[rows[3]["id"], rows[1]["id"], new_id()]) == [1, 3]
    assert await opened.all(of_texts, texts=["note 2"]) == [2]
    assert await opened.all(of_numbers, numbers=[4, 9]) == [4]
    assert await opened.all(of_times, times=[NOW]) == [0, 1, 2, 3, 4]


async def test_a_transaction_takes_effect_whole_or_not_at_all(opened: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened.transaction() as tx:
            await tx.run(insert_note, **note(1))
            assert await tx.one(count) == 1
            raise ZeroDivisionError
    assert await opened.one(count) == 0
    async with opened.transaction() as tx:
        await tx.run_many(insert_note, [note(1), note(2)])
    assert await opened.one(count) == 2


async def test_run_many_is_one_transaction(opened: Database) -> None:
    with pytest.raises(UniqueViolation):
        await opened.run_many(insert_note, [note(1), note(2), note(1)])
    assert await opened.one(count) == 0


async def test_a_cancelled_transaction_is_rolled_back_and_holds_no_lock(opened: Database) -> None:
    entered = asyncio.Event()

    async def hang() -> None:
        async with opened.transaction() as tx:
            await tx.run(insert_note, **note(1))
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await opened.one(count) == 0
    await opened.run(insert_note, **note(2))


async def test_a_unique_violation_names_its_constraint(opened: Database) -> None:
    await opened.run(insert_note, **note(1))
    with pytest.raises(UniqueViolation) as raised:
        await opened.run(insert_note, **note(1))
    assert "number" in raised.value.constraint
    assert await opened.one(count) == 1


async def test_a_foreign_key_without_its_row_is_a_violation_and_a_date_is_read_as_written(opened: Database) -> None:
    """Fails if the violation is the error of the driver, and if SQLite gets or returns a date as it is."""
    days = Table("days", MetaData(), Column("number", Integer), Column("day", Date))
    add = query(
        "days.add", insert(days).values(number=param("number"), day=param("day")).returning(days.c.day), into=date
    )
    async with opened.transaction() as tx:
        await tx.run_script("CREATE TABLE days (number INTEGER REFERENCES notes (number) ON DELETE CASCADE, day DATE)")
    await opened.run(insert_note, **note(1))
    assert await opened.one(add, number=1, day=date(2026, 2, 28)) == date(2026, 2, 28)
    with pytest.raises(ForeignKeyViolation):
        await opened.one(add, number=2, day=None)


async def test_concurrent_transactions_all_commit(opened: Database) -> None:
    async def add(number: int) -> None:
        async with opened.transaction() as tx:
            await tx.run(insert_note, **note(number))

    await asyncio.gather(*(add(n) for n in range(40)))
    assert await opened.one(count) == 40


async def test_reads_do_not_wait_for_a_transaction_and_see_only_committed_rows(opened: Database) -> None:
    async with opened.transaction() as tx:
        await tx.run(insert_note, **note(1))
        assert await opened.one(count) == 0
    assert await opened.one(count) == 1


async def test_a_missing_or_unknown_argument_is_a_type_error_that_names_it(opened: Database) -> None:
    with pytest.raises(TypeError, match=r"notes\.by_number needs the argument 'number'"):
        await opened.find(by_number)
    with pytest.raises(TypeError, match=r"notes\.by_number has no argument colour"):
        await opened.find(by_number, number=1, colour="red")


async def test_a_database_may_be_closed_and_started_again(opened: Database) -> None:
    await opened.start()
    await opened.close()
    await opened.close()
    with pytest.raises(DatabaseUnavailable):
        await opened.one(count)
    with pytest.raises(DatabaseUnavailable):
        await opened.run(insert_note, **note(1))
    await opened.start()
    assert await opened.one(count) == 0
