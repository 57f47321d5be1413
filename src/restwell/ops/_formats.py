"""Filters of the templates: how times, durations, sizes and numbers are written."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

NOTHING: Final = "–"  # noqa: RUF001  # what an empty cell has
_MINUTE: Final = 60
_SMALLEST: Final = 0.05
"""What is less would be rounded to 0.0."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (_MINUTE, "min"))
_PREFIXES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """The time since a moment, or until it, with the exact time as the title."""
    if moment is None:
        return NOTHING
    exact = moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(moment.isoformat(), exact, _since(moment, now))


def at(moment: datetime | None, now: datetime | None = None) -> str:
    """The exact time, and the time since it."""
    if moment is None:
        return NOTHING
    exact = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}">{}</time> ({})').format(moment.isoformat(), exact, _since(moment, now))


def duration(seconds: float | None) -> str:
    """A duration with two or three digits: ``850 µs``, ``12.4 ms``, ``3.2 s``, ``5 min``."""
    if seconds is None:
        return NOTHING
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.{1 if seconds < 0.1 else 0}f} ms"
    return f"{seconds:.1f} s" if seconds < _MINUTE else _span(seconds)


def number(value: float | None) -> str:
    """A number with thousands separators, and one decimal if it is small and not whole."""
    if value is None:
        return NOTHING
    if 0 < value < _SMALLEST:
        return "<0.1"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def size(count: float | None) -> str:
    """A number of bytes."""
    if count is None:
        return NOTHING
    index = 0
    while count >= 1024 and index < len(_PREFIXES) - 1:
        count, index = count / 1024, index + 1
    return f"{count:.{0 if index == 0 or count >= 100 else 1}f} {_PREFIXES[index]}"


def percent(share: float | None) -> str:
    """A share of 1."""
    if share is None:
        return NOTHING
    if 0 < share * 100 < _SMALLEST:
        return "<0.1 %"
    return f"{share * 100:.{0 if share in {0, 1} else 1}f} %"


def _since(moment: datetime, now: datetime | None) -> str:
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return "now" if abs(seconds) < 1 else f"{_span(seconds)} ago" if seconds > 0 else f"in {_span(-seconds)}"


def _span(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "ago": ago,
    "at": at,
    "duration": duration,
    "number": number,
    "size": size,
    "percent": percent,
}
