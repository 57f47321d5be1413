"""Types of fields in schemas: text without control characters, points in time, and deprecated ones."""

from datetime import date, datetime
from typing import Annotated, Final

from msgspec import Meta

__all__ = ["Instant", "MultiLineText", "PlainText", "SingleLineText", "anchored", "deprecated", "fixed_point"]

DEPRECATION: Final = "x-deprecation"
"""In a schema until it is part of a document: the sentence for its description."""

SUNSET: Final = "x-sunset"

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time. JSON: RFC 3339 in UTC."""


def anchored(pattern: str) -> str:
    """Match the whole string. A bare ``$`` also matches before a final line feed."""
    return rf"^(?:{pattern})$(?![\s\S])"


_TEXT: Final = r"[^\x00-\x1f\x7f]"

SingleLineText = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=anchored(rf"{_TEXT}*[^\s\x00-\x1f\x7f]{_TEXT}*"))
]
"""One line of at most 200 characters: not blank, no control characters."""

PlainText = Annotated[str, Meta(pattern=anchored(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"))]
"""Text with tabs and line ends, but no other control characters: PostgreSQL stores no NUL. It has no length:
``Annotated[PlainText, Meta(max_length=80)]``.
"""

MultiLineText = Annotated[PlainText, Meta(max_length=5_000)]
"""Text of at most 5,000 characters with tabs and line ends, but no other control characters."""


def fixed_point(digits: int, places: int, *, signed: bool = True) -> Meta:
    """The format of a Decimal with at most ``digits`` digits, of which ``places`` after the point.

    ``price: Annotated[Decimal, fixed_point(10, 2)]`` is for a column ``FixedPoint(10, 2)``. JSON: a string, as "12.50".
    Without ``signed``, no number is negative. Raises ValueError if there is no digit before the point, or if there are
    more than 6 after it: Python writes some of those numbers with an exponent.
    """
    whole = digits - places
    if not 1 <= places <= 6 or not whole >= 1:
        raise ValueError(f"fixed_point({digits}, {places}): write 1 to 6 digits after the point, and some before it")
    text = f"A number as a string, with at most {whole} digits before the point and {places} after it."
    sign = "-?" if signed else ""
    pattern = rf"^{sign}(?:0|[1-9][0-9]{{0,{whole - 1}}})(?:\.[0-9]{{1,{places}}})?$"
    return Meta(description=text, extra_json_schema={"pattern": pattern})


def deprecated(*, since: date, sunset: date | None = None, instead: str | None = None) -> Meta:
    """Mark a field or a query parameter in the OpenAPI document.

    For example ``price_cents: Annotated[int, deprecated(since=date(2026, 12, 1), instead="price")]``. ``instead``: the
    name of what replaces it. It remains valid, also after the ``sunset``: from then on it may be removed without a new
    version of the API, and ``restwell api diff`` accepts that.

    Raises TypeError for what is no date, and for a sunset before the deprecation.
    """
    for name, value in (("since", since), ("sunset", sunset)):
        if type(value) is not date and (value is not None or name == "since"):
            raise TypeError(f"deprecated: {name} must be a date, not {value!r}")
    if sunset is not None and sunset < since:
        raise TypeError(f"deprecated: the sunset {sunset} is before the deprecation {since}")
    sentences = [f"Deprecated since {since}."]
    sentences += [f"May be removed from {sunset} on."] if sunset is not None else []
    sentences += [f"Use `{instead}`."] if instead is not None else []
    end = {SUNSET: str(sunset)} if sunset is not None else {}
    return Meta(extra_json_schema={"deprecated": True, **end, DEPRECATION: " ".join(sentences)})
