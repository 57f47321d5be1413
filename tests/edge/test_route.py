"""The record of a route, and the canonical forms of path parameters."""

from typing import Any
from uuid import UUID

import pytest

from restwell.edge._route import PATH_TYPES, CachePolicy, Route

POLICY = CachePolicy(60, 0, (), lambda _: ["tag"], lambda _: ({}, b""))
ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"


@pytest.mark.parametrize(("method", "has_guards"), [("GET", True), ("POST", False)])
def test_only_get_without_guards_can_be_cached(method: str, *, has_guards: bool) -> None:
    """Breaks without the check: all clients would get the response to one user."""
    Route(method="GET", path="/", cache=POLICY)
    with pytest.raises(TypeError, match=f"{method} / cannot be cached: it has guards, or another method than GET"):
        Route(method=method, path="/", has_guards=has_guards, cache=POLICY)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (UUID, ID, UUID(ID)),
        (int, "0", 0),
        (int, "-12", -12),
        (int, "9" * 18, int("9" * 18)),
        (str, "a", "a"),
        (str, "x" * 100, "x" * 100),
        (str, "\xe9 .:@", "\xe9 .:@"),
    ],
)
def test_a_canonical_value_is_read(kind: type, text: str, value: Any) -> None:
    path_type = PATH_TYPES[kind]
    assert path_type.matches(text)
    assert path_type.parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((UUID, text) for text in (ID.upper(), ID.replace("-", ""), f"{{{ID}}}", f"{ID}0", f"{ID}\n", "", f" {ID}")),
        *((int, text) for text in ("00", "-0", "+1", "01", "1_0", "1.0", "", " 1", "1\n", "9" * 19, "\u0661", "0x1")),
        *((str, text) for text in ("", "x" * 101, "a/b", "a\x00", "a\n", "\x7f", "\t")),
    ],
)
def test_another_spelling_of_a_value_is_not_found(kind: type, text: str) -> None:
    """Breaks when a value is only parsed: each would have many URLs, and as many cache entries."""
    assert not PATH_TYPES[kind].matches(text)
