"""Entity tags of a row's version, and what If-Match allows; If-None-Match is the edge's."""

import pytest

from restwell.errors import PreconditionRequired
from restwell.web import etag, expected_versions


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('"3-gzip"', {3}),
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
