"""Answers that carry more than a body."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from litestar import Response
from litestar.response import Stream

from restwell.errors import NotFound
from restwell.web.conditional import etag

T = TypeVar("T")

CHUNK_BYTES: Final = 262_144


def created(content: T, location: str, *, headers: dict[str, str] | None = None) -> Response[T]:
    """201 with the address of what was made."""
    return Response(content, status_code=201, headers={"location": location, **(headers or {})})


def with_etag(content: T, version: int, *, status: int = 200, location: str | None = None) -> Response[T]:
    """The representation of a versioned row. Caches may keep it, but ask before each use."""
    headers = {"etag": etag(version), "cache-control": "no-cache"}
    if location is not None:
        headers["location"] = location
    return Response(content, status_code=status, headers=headers)


def accepted(content: T, location: str) -> Response[T]:
    """202: it will be done by a job; the address tells how far it is."""
    return Response(content, status_code=202, headers={"location": location})


def immutable(content: bytes, media_type: str) -> Response[bytes]:
    """What lies under its address for good, for everyone: caches keep it a year and never ask again (RFC 8246).

    Pages of other origins may show it.
    """
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "cross-origin-resource-policy": "cross-origin",
    }
    return Response(content, media_type=media_type, headers=headers)


def download(path: Path, media_type: str) -> Response[bytes]:
    """A file under its own name, sent piece by piece, for whoever is signed in and nobody's cache. Raises NotFound if it is not there."""
    if not path.is_file():
        raise NotFound
    headers = {"content-disposition": f'attachment; filename="{path.name}"', "content-length": str(path.stat().st_size)}
    return cast("Response[bytes]", Stream(_pieces(path), media_type=media_type, headers=headers))


def stream_json(pieces: AsyncIterator[bytes], name: str) -> Response[Any]:
    """A JSON document under its own name, sent as it is made, for whoever is signed in and nobody's cache."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return cast("Response[Any]", Stream(pieces, media_type="application/json", headers=headers))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
