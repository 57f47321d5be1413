"""Named queries: what is wrong with one is known at import."""

import pytest
from msgspec import Struct
from sqlalchemy import column, insert, literal, select, table

from restwell.database import param, query
from restwell.database.query import Query

things = table("things", column("id"), column("name"))


class Thing(Struct):
    id: int
    name: str


def test_is_compiled_for_every_database_under_its_name() -> None:
    found: Query[Thing] = query("things.find", select(things).where(things.c.id == param("id")), into=Thing)
    assert repr(found) == "<Query things.find>"
    assert found.columns == ("id", "name")
    assert "$1" in found.compiled["postgresql"].sql
    assert "?" in found.compiled["sqlite"].sql
    assert found.compiled["sqlite"].reads
    assert not query("things.add", insert(things).values(id=param("id"))).compiled["sqlite"].reads


def test_refuses_a_struct_whose_fields_are_not_the_columns() -> None:
    with pytest.raises(TypeError, match=r"query things\.wrong selects .* but Thing has"):
        query("things.wrong", select(things.c.name, things.c.id), into=Thing)


def test_keeps_values_written_into_the_statement() -> None:
    compiled = query("things.one", select(literal(1).label("n")).where(things.c.name == "lamp"), into=int).compiled
    assert compiled["sqlite"].bind({}) == (1, "lamp")


def test_takes_a_statement_for_each_database() -> None:
    found = query("things.own", {"sqlite": select(things.c.id), "postgresql": select(things.c.name)}, into=int)
    assert "name" in found.compiled["postgresql"].sql
    assert "name" not in found.compiled["sqlite"].sql
