"""Responses with headers: Location, ETag, downloads and streams."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from litestar import Response
from litestar.response import Stream

from restwell.errors import NotFound
from restwell.web._conditional import etag

T = TypeVar("T")

CHUNK_BYTES: Final = 262_144


def created(content: T, location: str, *, headers: dict[str, str] | None = None) -> Response[T]:
    """201 with the URL of the created resource."""
    return Response(content, status_code=201, headers={"location": location, **(headers or {})})


def with_etag(content: T, version: int, *, status: int = 200, location: str | None = None) -> Response[T]:
    """The representation of a versioned row. Caches may store it but must revalidate before each use."""
    headers = {"etag": etag(version), "cache-control": "no-cache"}
    if location is not None:
        headers["location"] = location
    return Response(content, status_code=status, headers=headers)


def accepted(content: T, location: str) -> Response[T]:
    """202 with the URL of the resource that shows the progress of the job."""
    return Response(content, status_code=202, headers={"location": location})


def immutable(content: bytes, media_type: str) -> Response[bytes]:
    """A public resource that never changes: caches store it for a year without revalidation (RFC 8246).

    Pages of other origins may embed it.
    """
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "cross-origin-resource-policy": "cross-origin",
    }
    return Response(content, media_type=media_type, headers=headers)


def download(path: Path, media_type: str) -> Response[bytes]:
    """Stream a file as an attachment. It is not cached. Raises NotFound for a missing file."""
    if not path.is_file():
        raise NotFound
    headers = {"content-disposition": f'attachment; filename="{path.name}"', "content-length": str(path.stat().st_size)}
    return cast("Response[bytes]", Stream(_chunks(path), media_type=media_type, headers=headers))


def stream_json(chunks: AsyncIterator[bytes], name: str) -> Response[Any]:
    """Stream a generated JSON document as an attachment. It is not cached."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return cast("Response[Any]", Stream(chunks, media_type="application/json", headers=headers))


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
