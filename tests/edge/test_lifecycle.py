"""When a version or a route is deprecated and when it ends."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from restwell.edge._lifecycle import Lifecycle

PARIS = timezone(timedelta(hours=1))


def test_the_headers_have_the_two_date_formats_and_the_links() -> None:
    """RFC 9745 2.1: Deprecation is a structured date. RFC 8594 3: Sunset is an HTTP date, in GMT."""
    lifecycle = Lifecycle(
        deprecated=date(2026, 11, 1),
        sunset=datetime(2027, 5, 1, 1, 0, tzinfo=PARIS),
        successor="/v2",
        guide="https://example.com/migrate?from=v1",
    )
    guide = b"<https://example.com/migrate?from=v1>"
    assert lifecycle.headers() == [
        (b"deprecation", b"@1793491200"),
        (b"sunset", b"Sat, 01 May 2027 00:00:00 GMT"),
        (
            b"link",
            guide + b'; rel="deprecation", ' + guide + b'; rel="sunset", </v2>; rel="successor-version"',
        ),
    ]
    assert Lifecycle(deprecated=date(2026, 11, 1)).headers() == [(b"deprecation", b"@1793491200")]
    assert Lifecycle(deprecated=date(2026, 11, 1), guide="/docs").headers()[1:] == [
        (b"link", b'</docs>; rel="deprecation"')
    ]


def test_the_error_after_the_sunset_says_what_to_use() -> None:
    lifecycle = Lifecycle(deprecated=date(2026, 1, 1), sunset=date(2026, 7, 1), successor="/v2", guide="/guide")
    error = lifecycle.gone()
    assert (error.status, error.code) == (410, "gone")
    assert error.detail == "This version of the API has ended on 01 July 2026. Use /v2. See /guide."


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"deprecated": datetime(2026, 1, 1)}, "deprecated must be a date, or a datetime with a time zone"),  # noqa: DTZ001
        ({"deprecated": "2026-01-01"}, "deprecated must be a date"),
        ({"deprecated": None}, "deprecated must be a date"),
        ({"deprecated": date(2026, 1, 1), "sunset": 1}, "sunset must be a date"),
        ({"deprecated": date(2026, 2, 1), "sunset": date(2026, 1, 31)}, "is before the deprecation"),
        (
            {"deprecated": datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC), "sunset": date(2026, 2, 1)},
            "is before the deprecation",
        ),
        ({"deprecated": date(2026, 1, 1), "successor": "v2"}, "successor must be a path or a URL"),
        ({"deprecated": date(2026, 1, 1), "guide": "/a>b"}, "guide must be a path or a URL"),
        ({"deprecated": date(2026, 1, 1), "guide": '/a"\r\nx: y'}, "guide must be a path or a URL"),
        ({"deprecated": date(2026, 1, 1), "guide": "/größe"}, "guide must be a path or a URL"),
    ],
)
def test_wrong_times_and_links_are_errors(arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        Lifecycle(**arguments)
