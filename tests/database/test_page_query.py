"""Page queries are checked when they are written. ``tests/test_pages.py`` reads pages with them."""

from uuid import UUID

import pytest
from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, select

from restwell.database import Id, page_query

things = Table("things", MetaData(), Column("id", Id, primary_key=True), Column("n", Integer, nullable=False))


class Thing(Struct, frozen=True):
    id: UUID


def test_a_page_query_that_does_not_select_its_key_is_refused() -> None:
    """Breaks when it is found out by the first list that has a second page."""
    with pytest.raises(TypeError, match=r"query things\.page must select its key: add n"):
        page_query("things.page", select(things.c.id), [things.c.n, things.c.id], Thing)


def test_a_page_query_needs_rows_with_fields() -> None:
    with pytest.raises(TypeError, match="a page needs rows with fields: use a Struct or dict"):
        page_query("things.page", select(things.c.id), [things.c.id], UUID)


def test_a_page_query_may_differ_by_database() -> None:
    statement = select(things.c.id, things.c.n)
    both = {"postgresql": statement.where(things.c.n > 1), "sqlite": statement.where(things.c.n > 2)}
    pages = page_query("things.page", both, [things.c.n, things.c.id], dict)
    assert repr(pages) == "<PageQuery things.page>"
    for one in (pages.first, pages.next):
        constants = {dialect: [bind.constant for bind in one.compiled[dialect].parameters] for dialect in both}
        assert (1 in constants["postgresql"], 2 in constants["sqlite"]) == (True, True)


def test_the_ids_of_a_page_are_its_key_alone() -> None:
    """Fails if a cursor of the rows is not one of the ids: a client may get them from different processes."""
    pages = page_query(
        "things.newest", select(things.c.id, things.c.n), [things.c.n, things.c.id], dict, descending=True, batch_on=[]
    )
    ids = pages.ids
    assert (ids.first.columns, ids.id_name, ids.scope) == (("n", "id"), "id", pages.scope)
    assert (ids.name, pages.ids is ids) == ("things.newest_ids", True)
    assert ids.next.group_by == pages.next.group_by
    assert "DESC" in ids.first.compiled["postgresql"].sql
