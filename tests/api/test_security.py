"""Who may call an operation."""

import pytest

from restwell._api._changes import Level
from restwell._api._security import renamed_schemes, requirement_changes, scheme_changes

Requirements = list[dict[str, list[str]]]
TOKEN: dict[str, list[str]] = {"token": []}
KEY: dict[str, list[str]] = {"key": []}


def scoped(*scopes: str) -> dict[str, list[str]]:
    return {"oauth": [*scopes]}


@pytest.mark.parametrize(
    ("old", "new", "level", "what"),
    [
        ([], [TOKEN], Level.BREAKING, "requires credentials now"),
        ([{}, TOKEN], [TOKEN], Level.BREAKING, "requires credentials now"),
        ([TOKEN, KEY], [TOKEN], Level.BREAKING, "refuses key now"),
        ([TOKEN], [TOKEN | KEY], Level.BREAKING, "refuses token now"),
        ([scoped("read")], [scoped("read", "more")], Level.BREAKING, "requires the scope more of oauth (read) now"),
        ([TOKEN], [], Level.SAFE, "accepts no credentials now"),
        ([TOKEN], [TOKEN, KEY], Level.SAFE, "accepts key now"),
        ([scoped("read", "more")], [scoped("read")], Level.SAFE, "accepts oauth (read) now"),
    ],
)
def test_callers_that_were_admitted_must_be_admitted(
    old: Requirements, new: Requirements, level: Level, what: str
) -> None:
    """Breaks when the alternatives are compared by their place, or a requirement without its scopes."""
    first = next(requirement_changes(old, new, "GET /a"))
    assert (first.level, first.what, first.operations) == (level, what, ("GET /a",))


def test_the_order_of_the_alternatives_has_no_meaning() -> None:
    assert list(requirement_changes([TOKEN, KEY], [KEY, TOKEN], "GET /a")) == []
    assert list(requirement_changes(None, [{}], "GET /a")) == []


def test_a_scheme_is_what_clients_send_not_its_name_or_description() -> None:
    bearer = {"type": "http", "scheme": "bearer"}
    assert renamed_schemes({"a": bearer}, {"b": bearer | {"scheme": "Bearer", "description": "text"}}) == {"a": "b"}
    assert renamed_schemes({"a": bearer}, {"b": bearer | {"scheme": "basic"}}) == {}
    assert list(scheme_changes({"a": bearer}, {"a": bearer | {"description": "text"}})) == []


def test_a_flow_that_is_added_is_safe() -> None:
    flow = {"tokenUrl": "/token", "scopes": {}}
    old, new = ({"type": "oauth2", "flows": flows} for flows in ({}, {"clientCredentials": flow}))
    (change,) = scheme_changes({"a": old}, {"a": new})
    assert (change.level, change.what) == (Level.SAFE, "flow clientCredentials of a added")
