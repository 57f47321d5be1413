"""Parameters of an operation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from restwell._api._changes import Change, Level
from restwell._api._parameters import parameter_changes
from restwell._api._schemas import SchemaComparison

Json = dict[str, Any]


def changes(old: list[Json], new: list[Json]) -> list[Change]:
    schemas = SchemaComparison({}, {}, datetime(2026, 6, 1, tzinfo=UTC))
    return list(parameter_changes(("/a", old), ("/a", new), "POST /a", schemas))


def parameter(name: str, place: str = "query", **more: Any) -> Json:
    return {"name": name, "in": place, "schema": {"type": "string"}, **more}


def test_a_required_idempotency_key_has_its_own_advice() -> None:
    (change,) = changes([], [parameter("Idempotency-Key", "header", required=True)])
    assert change.level is Level.BREAKING
    assert "without a key" in change.cure


def test_the_case_of_a_header_has_no_meaning_and_that_of_a_query_parameter_has() -> None:
    assert changes([parameter("If-Match", "header")], [parameter("if-match", "header")]) == []
    removed, added = changes([parameter("Sort")], [parameter("sort")])
    assert (removed.level, added.level) == (Level.BREAKING, Level.SAFE)


@pytest.mark.parametrize("more", [{"style": "form"}, {"explode": True}, {"style": "form", "explode": True}])
def test_the_default_style_in_words_is_no_change(more: Json) -> None:
    assert changes([parameter("sort")], [parameter("sort", **more)]) == []


def test_a_parameter_that_moves_is_removed_and_added() -> None:
    levels = [change.level for change in changes([parameter("key")], [parameter("key", "header", required=True)])]
    assert levels == [Level.BREAKING, Level.BREAKING]


def test_an_earlier_sunset_is_risky() -> None:
    old, new = (parameter("a", deprecated=True, **{"x-sunset": day}) for day in ("2026-08-01", "2026-07-01"))
    assert [change.level for change in changes([old], [new])] == [Level.RISKY]
    assert [change.level for change in changes([new], [old])] == [Level.SAFE]
