"""How relations are declared."""

import pytest

from graphql_app import author, reader
from restwell.graphql import relation
from restwell.graphql._fields import relation_of
from restwell.web import signed_in


def test_a_relation_has_guards_and_a_budget() -> None:
    @relation(guards=[signed_in], query_budget={"notes.by_id": 3})
    async def both(book: object) -> str:
        return str(book)

    assert relation_of(author).guards == ()
    assert relation_of(reader).guards == (signed_in,)
    assert (relation_of(both).guards, relation_of(both).query_budget) == ((signed_in,), {"notes.by_id": 3})


def test_a_relation_is_async_and_has_the_decorator() -> None:
    with pytest.raises(TypeError, match="is not async"):
        relation(lambda: None)  # type: ignore[type-var]  # as a mistake
    with pytest.raises(TypeError, match="add @relation"):
        relation_of(test_a_relation_is_async_and_has_the_decorator)
