"""How times, durations, sizes and numbers are written."""

from datetime import UTC, datetime, timedelta

import pytest

from restwell.ops._formats import ago, at, duration, number, percent, size

NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "now"), (5, "5 s ago"), (300, "5 min ago"), (7_200, "2 h ago"), (200_000, "2 d ago"), (-90, "in 2 min")],
)
def test_a_time_is_relative_with_the_exact_time_as_its_title(seconds: float, text: str) -> None:
    shown = ago(NOW - timedelta(seconds=seconds), NOW)
    assert f">{text}</time>" in shown
    assert 'title="2026-11-2' in shown
    assert " UTC" in shown


def test_an_exact_time_has_its_zone() -> None:
    assert ">2026-11-28 02:55:00 UTC</time> (5 min ago)" in at(NOW - timedelta(minutes=5), NOW)


def test_what_is_unknown_is_a_dash() -> None:
    assert {ago(None), at(None), duration(None), number(None), size(None), percent(None)} == {"–"}  # noqa: RUF001  # the dash


def test_numbers_have_few_digits_and_a_unit() -> None:
    times = [0.00085, 0.0124, 0.85, 3.21, 300]
    assert [duration(each) for each in times] == ["850 µs", "12.4 ms", "850 ms", "3.2 s", "5 min"]
    assert [number(each) for each in (0, 3, 0.25, 0.01, 1234.5)] == ["0", "3", "0.2", "<0.1", "1,234"]
    assert [size(each) for each in (12, 1_536, 150 * 2**20)] == ["12 B", "1.5 KiB", "150 MiB"]
    assert [percent(each) for each in (0, 0.505, 0.0001, 1)] == ["0 %", "50.5 %", "<0.1 %", "100 %"]
