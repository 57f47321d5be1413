"""Named queries: an invalid query raises at import."""

from dataclasses import dataclass, field
from types import NoneType
from typing import Any, NamedTuple, NotRequired, TypedDict

import pytest
from msgspec import Struct
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import column, insert, literal, select, table, text
from sqlalchemy.sql import ClauseElement

from restwell.database import Query, param, query

things = table("things", column("id"), column("name"))


class Thing(Struct):
    id: int
    name: str


def test_a_query_is_compiled_for_every_database_under_its_name() -> None:
    found: Query[Thing] = query("things.find", select(things).where(things.c.id == param("id")), into=Thing)
    assert repr(found) == "<Query things.find>"
    assert found.columns == ("id", "name")
    assert "$1" in found.compiled["postgresql"].sql
    assert "?" in found.compiled["sqlite"].sql
    assert found.compiled["sqlite"].reads
    assert not query("things.add", insert(things).values(id=param("id"))).compiled["sqlite"].reads


class KeywordThing(Struct, kw_only=True):
    id: int
    name: str


class DefaultThing(Struct):
    id: int
    name: str = "lamp"


@dataclass
class DataThing:
    id: int
    name: str = field(default_factory=str)


class TupleThing(NamedTuple):
    id: int
    name: str


class DictThing(TypedDict):
    id: int
    name: NotRequired[str]


class ModelThing(BaseModel):
    id: int = Field(alias="thingId")
    name: str = "lamp"


both, reverse, one = select(things.c.id, things.c.name), select(things.c.name, things.c.id), select(things.c.id)
typed = text("SELECT 1, 'x'").columns(column("id"), column("name"))


@pytest.mark.parametrize(
    ("statement", "into", "row", "expected"),
    [
        (both, Thing, (1, "x"), Thing(1, "x")),
        (reverse, Thing, ("x", 1), Thing(1, "x")),
        (both, KeywordThing, (1, "x"), KeywordThing(id=1, name="x")),
        (one, DefaultThing, (1,), DefaultThing(1, "lamp")),
        (both, DataThing, (1, "x"), DataThing(1, "x")),
        (one, DataThing, (1,), DataThing(1, "")),
        (both, TupleThing, (1, "x"), TupleThing(1, "x")),
        (reverse, TupleThing, ("x", 1), TupleThing(1, "x")),
        (both, DictThing, (1, "x"), {"id": 1, "name": "x"}),
        (one, DictThing, (1,), {"id": 1}),
        (both, ModelThing, (1, "x"), ModelThing(thingId=1, name="x")),
        (one, ModelThing, (1,), ModelThing(thingId=1, name="lamp")),
        (both, dict, (1, "x"), {"id": 1, "name": "x"}),
        (both, tuple, (1, "x"), (1, "x")),
        (typed, Thing, (1, "x"), Thing(1, "x")),
        (text("SELECT 1, 2"), tuple, [1, 2], (1, 2)),
        (text("SELECT 1"), int, (1,), 1),
        (select(text("1")), int, (1,), 1),
        (select(literal(1)), int, (1,), 1),
        (one, list[int], ([1],), [1]),
        (insert(things).returning(things.c.id, things.c.name), Thing, (1, "x"), Thing(1, "x")),
    ],
)
def test_a_row_is_converted_to_a_type_that_has_its_columns(
    statement: ClauseElement, into: Any, row: tuple[Any, ...], expected: object
) -> None:
    found = query("things.made", statement, into=into)
    assert [compiled.decode(row) for compiled in found.compiled.values()] == [expected] * 2
    assert type(found.compiled["sqlite"].decode(row)) is type(expected)


@pytest.mark.parametrize(
    ("statement", "into", "hint"),
    [
        (both, int, "selects id, name: int takes exactly one column; for more, use into= with a Struct"),
        (both, list[int], "takes exactly one column"),
        (both, int | None, "takes exactly one column"),
        (both, None, "declare the row type with into="),
        (one, NoneType, "selects id: declare the row type with into="),
        (insert(things).returning(things.c.id), None, "into="),
        (both, DefaultThing.__base__, "has no id, name: add the field, or select less"),
        (one, Thing, "Thing needs name: select it, or give the field a default"),
        (one, TupleThing, "TupleThing needs name"),
        (select(things.c.name), DataThing, "DataThing needs id"),
        (select(things.c.name), DictThing, "DictThing needs id"),
        (select(things.c.name), ModelThing, "ModelThing needs id"),
        (both.add_columns(literal(1).label("n")), Thing, "Thing has no n"),
        (both.add_columns(literal(1).label("n")), DataThing, "DataThing has no n"),
        (both.add_columns(literal(1).label("n")), TupleThing, "TupleThing has no n"),
        (both.add_columns(literal(1).label("n")), DictThing, "DictThing has no n"),
        (both.add_columns(literal(1).label("n")), ModelThing, "ModelThing has no n"),
        (select(things.c.id, things.c.id), dict, r"a unique name for each column: add \.label"),
        (select(things.c.id, things.c.name.label("id")), DefaultThing, "a unique name for each column"),
        (select(things.c.id, literal(1)), dict, "selects id, None: dict needs a unique name for each column"),
        (
            text("SELECT 1, 2"),
            dict,
            r"selects undeclared columns of text\(\): dict needs columns: use text\(\.\.\.\)\.columns",
        ),
        (text("SELECT 1, 2"), Thing, r"Thing needs columns: use text\(\.\.\.\)\.columns"),
        (insert(things), Thing, r"selects nothing: Thing needs columns: add \.returning"),
        (insert(things), int, "selects nothing: int takes exactly one column"),
        (insert(things), tuple, r"add \.returning"),
        ({"sqlite": one, "postgresql": both}, int, "selects id, name: int takes exactly one column"),
    ],
)
def test_a_type_that_does_not_match_the_columns_is_refused_at_import(
    statement: ClauseElement, into: Any, hint: str
) -> None:
    """Regression: these queries returned only the first column, or failed on the first row."""
    with pytest.raises(TypeError, match=f"query things.wrong .*{hint}"):
        query("things.wrong", statement, into=into)


@pytest.mark.parametrize(
    ("statement", "into"), [(text("SELECT 1, 2"), int), (select(text("1, 2")), int), (text("SELECT 1"), None)]
)
def test_a_row_of_textual_sql_that_does_not_match_its_type_is_refused_when_read(
    statement: ClauseElement, into: Any
) -> None:
    found = query("things.wrong", statement, into=into)
    with pytest.raises(TypeError, match=r"query things\.wrong selects undeclared columns of text\(\)"):
        found.compiled["sqlite"].decode((1, 2))


def test_a_pydantic_model_validates_its_row() -> None:
    decode = query("things.model", both, into=ModelThing).compiled["sqlite"].decode
    with pytest.raises(ValidationError):
        decode(("no number", "x"))


def test_a_query_keeps_the_literal_values_of_its_statement() -> None:
    compiled = query("things.one", select(literal(1).label("n")).where(things.c.name == "lamp"), into=int).compiled
    assert compiled["sqlite"].bind({}) == (1, "lamp")


def test_a_query_may_have_a_statement_for_each_database() -> None:
    found = query("things.own", {"sqlite": select(things.c.id), "postgresql": select(things.c.name)}, into=int)
    assert "name" in found.compiled["postgresql"].sql
    assert "name" not in found.compiled["sqlite"].sql
