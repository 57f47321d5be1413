"""Entity tags of row versions and If-Match. If-None-Match is tested with the edge."""

import pytest

from restwell.errors import PreconditionFailed, PreconditionRequired
from restwell.web import check_version
from restwell.web._conditional import etag, expected_versions


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"3", "4"', {3, 4}),
        ('"3-gzip"', {3}),
        ('W/"3"', {3}),
        ('W/"3", "4"', {3, 4}),
        ('W/"3-gzip"', {3}),
        ('w/"3"', set()),
        ('"3","4" ,\t"5",,', {3, 4, 5}),
        ('"a,b", "3"', {3}),
        ('"3" "4"', set()),
        ('"3', set()),
        ("3", set()),
        ('"-3"', set()),
        ('"3", *', {3}),
        ('"x"', set()),
        ('"²"', set()),
        (f'"{"9" * 5_000}"', set()),
        ("nonsense", set()),
        ('\u00a0"3"', set()),
        ('"3"\u2003', set()),
        ('"3",\u0085"4"', {3}),
        ('\x0b"3"', set()),
        ("\u00a0*", set()),
        ("*\u2003", set()),
        ("", set()),
    ],
)
def test_if_match_allows_the_versions_of_its_tags(header: str, versions: set[int]) -> None:
    """Breaks when a weak tag is rejected, when only the first tag counts, and when non-ASCII digits match.

    Breaks with ``strip()``, which also removes Unicode spaces; those of HTTP are the space and the tab.
    """
    assert expected_versions(header) == frozenset(versions)


def test_if_match_star_allows_any_version() -> None:
    assert expected_versions("*") is None


def test_if_match_is_required() -> None:
    with pytest.raises(PreconditionRequired):
        expected_versions(None)


def test_an_etag_is_quoted() -> None:
    assert etag(3) == '"3"'


def test_a_version_that_if_match_does_not_allow_is_refused() -> None:
    check_version(3, frozenset({2, 3}))
    check_version(3, None)
    with pytest.raises(PreconditionFailed):
        check_version(3, frozenset({2}))
    with pytest.raises(PreconditionFailed):
        check_version(3, frozenset())
