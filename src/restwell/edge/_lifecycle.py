"""When a version or a route is deprecated and when it ends.

The header fields are Deprecation (RFC 9745), Sunset (RFC 8594) and Link (RFC 8288).
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Final

from msgspec import Struct

from restwell.errors import AppError

_is_reference: Final = re.compile(r"(?:https?://|/)[^\s<>\"\x00-\x1f\x7f-\U0010ffff]*").fullmatch


class Gone(AppError):
    code, status, message = "gone", 410, "This version of the API has ended."


class Lifecycle(Struct, frozen=True, kw_only=True):
    """The end of a version or of a route.

    ``deprecated``: from when clients should no longer use it; may be in the future. ``sunset``: from then on every
    response is 410. A date begins at midnight UTC. ``successor``: the path or URL of what replaces it. ``guide``: the
    URL of a text about the migration.

    Raises TypeError for times without a time zone, and for a sunset before the deprecation (RFC 9745 4).
    """

    deprecated: date
    sunset: date | None = None
    successor: str | None = None
    guide: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("deprecated", self.deprecated), ("sunset", self.sunset)):
            if value is not None or name == "deprecated":
                _check_time(name, value)
        if self.sunset is not None and _instant(self.sunset) < _instant(self.deprecated):
            raise TypeError(f"Lifecycle: the sunset {self.sunset} is before the deprecation {self.deprecated}")
        for name, reference in (("successor", self.successor), ("guide", self.guide)):
            if reference is not None and not _is_reference(reference):
                raise TypeError(f"Lifecycle: {name} must be a path or a URL, not {reference!r}")

    @property
    def deprecated_at(self) -> datetime:
        return _instant(self.deprecated)

    @property
    def sunset_at(self) -> datetime | None:
        return _instant(self.sunset) if self.sunset is not None else None

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response headers that announce the end."""
        headers = [(b"deprecation", f"@{int(self.deprecated_at.timestamp())}".encode())]
        if self.sunset_at is not None:
            headers.append((b"sunset", format_datetime(self.sunset_at, usegmt=True).encode()))
        links = [("deprecation", self.guide), ("successor-version", self.successor)]
        if self.sunset_at is not None:
            links.insert(1, ("sunset", self.guide))
        if found := [f'<{target}>; rel="{relation}"' for relation, target in links if target is not None]:
            headers.append((b"link", ", ".join(found).encode()))
        return headers

    def sentences(self) -> Iterator[str]:
        """What the OpenAPI document says about the end."""
        yield f"Deprecated since {self.deprecated_at:%Y-%m-%d}."
        if self.sunset_at is not None:
            yield f"Responds with 410 from {self.sunset_at:%Y-%m-%d}."
        if self.successor is not None:
            yield f"Use {self.successor}."
        if self.guide is not None:
            yield f"See {self.guide}."

    def gone(self) -> Gone:
        """The error from the sunset on."""
        sentences = [f"This version of the API has ended on {self.sunset_at:%d %B %Y}."]
        sentences += [f"Use {self.successor}."] if self.successor is not None else []
        sentences += [f"See {self.guide}."] if self.guide is not None else []
        return Gone(" ".join(sentences))


def _check_time(name: str, value: object) -> None:
    if not isinstance(value, date) or (isinstance(value, datetime) and value.tzinfo is None):
        raise TypeError(f"Lifecycle: {name} must be a date, or a datetime with a time zone, not {value!r}")


def _instant(value: date) -> datetime:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC)
