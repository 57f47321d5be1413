"""Answers that carry more than a body."""

from typing import TypeVar

from litestar import Response

from restwell.web.conditional import etag

T = TypeVar("T")


def created(content: T, location: str, *, headers: dict[str, str] | None = None) -> Response[T]:
    """201 with the address of what was made."""
    return Response(content, status_code=201, headers={"location": location, **(headers or {})})


def with_etag(content: T, version: int, *, status: int = 200, location: str | None = None) -> Response[T]:
    """The representation of a versioned row. Caches may keep it, but ask before each use."""
    headers = {"etag": etag(version), "cache-control": "no-cache"}
    if location is not None:
        headers["location"] = location
    return Response(content, status_code=status, headers=headers)
