"""Responses with headers or cookies: created resources, ETags, downloads and streams."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

from msgspec import Struct

from restwell.errors import NotFound
from restwell.web._conditional import etag

T = TypeVar("T")

CHUNK_BYTES: Final = 262_144

_is_token: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_is_field_value: Final = re.compile(r"[\t -~\x80-\xff]*").fullmatch
_is_cookie_value: Final = re.compile(r"[!#-+\--:<-\[\]-~]*").fullmatch
_is_plain_name: Final = re.compile(r"[\w .()-]+", re.ASCII).fullmatch


class Cookie(Struct, frozen=True):
    """A cookie for every path of this host, sent over TLS only and hidden from scripts.

    Raises ValueError for a name or a value that RFC 6265 4.1.1 does not allow: encode such a value.
    """

    name: str
    value: str
    max_age_seconds: int
    same_site: Literal["Strict", "Lax"] = "Strict"

    def __post_init__(self) -> None:
        if not (_is_token(self.name) and _is_cookie_value(self.value)):
            raise ValueError(f"the cookie {self.name!r} has an invalid name, or a value that needs encoding")

    def header(self) -> str:
        """The value of Set-Cookie."""
        return (
            f"{self.name}={self.value}; Max-Age={self.max_age_seconds}; Path=/; Secure; HttpOnly; "
            f"SameSite={self.same_site}"
        )


class Response(Struct, Generic[T], frozen=True, kw_only=True):
    """The result of a handler with another status than that of its route, or with headers or cookies.

    ``content`` is encoded like the result of a handler. ``location``: the path of the created resource, absolute or,
    without a leading slash, below the path of the request. A header with a line break is an internal error.
    """

    content: T
    status_code: int | None = None
    headers: Mapping[str, str] = {}
    cookies: Sequence[Cookie] = ()
    media_type: str | None = None
    location: str | None = None


class Stream(Struct, Generic[T], frozen=True, kw_only=True):
    """A response of chunks. ``open`` is called when the response starts, but not for HEAD."""

    open: Callable[[], AsyncIterator[bytes]]
    media_type: str
    headers: Mapping[str, str] = {}


def created(content: T, location: object, *, headers: Mapping[str, str] | None = None) -> Response[T]:
    """201 with the URL of the created resource: its id, which is appended to the path of the request.

    An absolute path names another place.
    """
    return Response(content=content, status_code=201, location=str(location), headers=headers or {})


def accepted(content: T, location: object) -> Response[T]:
    """202 with the URL of the resource that shows the progress of the job, as in ``created``."""
    return Response(content=content, status_code=202, location=str(location))


def with_etag(content: T, version: int, *, status: int | None = None, location: object = None) -> Response[T]:
    """The representation of a versioned row. Caches may store it but must revalidate before each use."""
    return Response(
        content=content,
        status_code=status,
        headers={"etag": etag(version), "cache-control": "no-cache"},
        location=str(location) if location is not None else None,
    )


def redirect(url: str, *cookies: Cookie) -> Response[None]:
    """303 See Other."""
    return Response(content=None, status_code=303, headers={"location": url}, cookies=cookies)


def immutable(content: bytes, media_type: str) -> Response[bytes]:
    """A public resource that never changes: caches store it for a year without revalidation (RFC 8246).

    Pages of other origins may embed it.
    """
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "cross-origin-resource-policy": "cross-origin",
    }
    return Response(content=content, media_type=media_type, headers=headers)


def download(path: Path, media_type: str) -> Stream[bytes]:
    """Stream a file as an attachment. It is not cached. Raises NotFound for a missing file."""
    if not path.is_file():
        raise NotFound
    headers = {"content-disposition": _attachment(path.name), "content-length": str(path.stat().st_size)}
    return Stream(open=lambda: _chunks(path), media_type=media_type, headers=headers)


def stream_json(chunks: AsyncIterator[bytes], name: str) -> Stream[Any]:
    """Stream a generated JSON document as an attachment. It is not cached."""
    headers = {"content-disposition": _attachment(name)}
    return Stream(open=lambda: chunks, media_type="application/json", headers=headers)


def header_field(name: str, value: str) -> tuple[bytes, bytes]:
    """Encode a header field. Raises ValueError for characters that would end it (RFC 9110 5.5)."""
    if not (_is_token(name) and _is_field_value(value)):
        raise ValueError(f"invalid characters in the response header {name!r}: encode its value")
    return name.lower().encode("ascii"), value.encode("latin-1")


def _attachment(name: str) -> str:
    """The value of Content-Disposition (RFC 6266)."""
    if _is_plain_name(name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
