"""Responses of an operation."""

from datetime import UTC, datetime
from typing import Any

import pytest

from restwell._api._changes import Change, Level
from restwell._api._responses import response_changes
from restwell._api._schemas import SchemaComparison

Json = dict[str, Any]


def changes(old: Json, new: Json) -> list[Change]:
    schemas = SchemaComparison({}, {}, datetime(2026, 6, 1, tzinfo=UTC))
    return [*response_changes(old, new, "GET /a", schemas), *schemas.changes()]


@pytest.mark.parametrize(
    ("status", "added", "removed"),
    [
        ("201", Level.BREAKING, Level.BREAKING),
        ("303", Level.RISKY, Level.BREAKING),
        ("304", Level.SAFE, Level.BREAKING),
        ("409", Level.RISKY, Level.SAFE),
        ("503", Level.RISKY, Level.SAFE),
    ],
)
def test_a_status_that_is_added_or_removed(status: str, added: Level, removed: Level) -> None:
    assert [change.level for change in changes({}, {status: {}})] == [added]
    assert [change.level for change in changes({status: {}}, {})] == [removed]


def test_the_410_of_a_sunset_is_announced_by_it() -> None:
    """Breaks when the deprecation of a version is a risky change of each of its operations."""
    content: Json = {"application/problem+json": {"schema": {}, "examples": {"gone": {}}}}
    schemas = SchemaComparison({}, {}, datetime(2026, 6, 1, tzinfo=UTC))
    for has_sunset, level in ((True, Level.SAFE), (False, Level.RISKY)):
        found = response_changes({}, {"410": {"content": content}}, "GET /a", schemas, has_sunset=has_sunset)
        assert [change.level for change in found] == [level, level]


def test_headers_of_a_response_are_promises() -> None:
    text, number = ({"schema": {"type": kind}} for kind in ("string", "integer"))
    always = text | {"required": True}
    for old, new, level in (
        ({"ETag": text}, {}, Level.BREAKING),
        ({}, {"ETag": text}, Level.SAFE),
        ({"ETag": always}, {"etag": text}, Level.BREAKING),
        ({"ETag": text}, {"etag": always}, Level.SAFE),
        ({"ETag": text}, {"ETag": number}, Level.BREAKING),
        ({"ETag": text}, {"ETag": text | {"deprecated": True}}, Level.SAFE),
    ):
        found = changes({"200": {"headers": old}}, {"200": {"headers": new}})
        assert [change.level for change in found] == [level]
    assert changes({"200": {"headers": {"ETag": text}}}, {"200": {"headers": {"etag": text}}}) == []


def test_a_body_where_there_was_none_is_safe() -> None:
    body = {"application/json": {"schema": {"type": "string"}}}
    assert [change.level for change in changes({"200": {}}, {"200": {"content": body}})] == [Level.SAFE]


def test_a_code_with_another_status_is_another_error_to_clients() -> None:
    def described(code: str) -> Json:
        return {"content": {"application/problem+json": {"schema": {}, "examples": {code: {}}}}}

    old = {"409": described("a"), "422": described("b")}
    new = {"409": described("b"), "422": described("a")}
    assert {(change.level, change.what) for change in changes(old, new)} == {
        (Level.BREAKING, "status of a 409 -> 422"),
        (Level.BREAKING, "status of b 422 -> 409"),
    }
