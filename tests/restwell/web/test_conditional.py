"""Entity tags: strong for changes, weak will do for reads."""

import pytest

from restwell.errors import PreconditionRequired
from restwell.web import etag, expected_versions, is_current


@pytest.mark.parametrize(
    ("header", "current"),
    [
        (None, False),
        ('"3"', True),
        ('W/"3"', True),
        ('"2", "3"', True),
        ("*", True),
        (" * ", True),
        ('"2"', False),
        ("3", False),
        ("", False),
        ('"33"', False),
    ],
)
def test_if_none_match(header: str | None, current: bool) -> None:  # noqa: FBT001  # a table's column
    assert is_current(header, 3) is current


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('W/"3"', set()),
        ('W/"3", "4"', {4}),
        ('"x"', set()),
        ('"²"', set()),
        (f'"{"9" * 5_000}"', set()),
        ("nonsense", set()),
        ("", set()),
    ],
)
def test_if_match(header: str, versions: set[int]) -> None:
    assert expected_versions(header) == frozenset(versions)


def test_if_match_star_is_any_version() -> None:
    assert expected_versions("*") is None


def test_if_match_is_required() -> None:
    with pytest.raises(PreconditionRequired):
        expected_versions(None)


def test_a_tag_is_quoted() -> None:
    assert etag(3) == '"3"'
