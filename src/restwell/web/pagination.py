"""Keyset pages: a signed, opaque cursor says where the next page begins, so that page 1,000 costs what page 1 does."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Response
from msgspec import Meta, Struct

from restwell.errors import InvalidCursor
from restwell.web.request import ApiRequest

T = TypeVar("T")

MAX_LIMIT: Final = 100
MAX_CURSOR_CHARS: Final = 2_048
"""Room for a text of 200 characters, of four bytes each."""
_MAC_BYTES: Final = 16
_PLAIN_QUERY: Final = re.compile(r"[\w.~=&-]*", re.ASCII).fullmatch

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CURSOR_CHARS,
        description="`next_cursor` of the page before; keep the other parameters the same.",
    ),
]


class Page(Struct, Generic[T], frozen=True):
    """One page. ``next_cursor`` is null on the last."""

    items: list[T]
    next_cursor: str | None


class PageFilter(Struct, frozen=True, kw_only=True):
    """The query parameters of every list; a list adds its own by subclassing."""

    limit: Limit = 20
    cursor: Cursor | None = None


class Cursors:
    """Makes and reads cursors. Each belongs to one query, named with its filters, and is refused anywhere else."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, scope: str, position: tuple[Any, ...]) -> str:
        body = msgspec.msgpack.encode(position)
        return urlsafe_b64encode(self._mac(scope, body) + body).rstrip(b"=").decode()

    def decode(self, scope: str, cursor: str, kind: type[T]) -> T:
        """The position as ``kind``, a tuple type. Raises InvalidCursor."""
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except ValueError:
            raise InvalidCursor from None
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(scope, body)):
            raise InvalidCursor
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except msgspec.MsgspecError:  # of a release that had other positions
            raise InvalidCursor from None

    def page(self, scope: str, rows: Sequence[T], limit: int, position: Callable[[T], tuple[Any, ...]]) -> Page[T]:
        """A page of rows read with ``limit + 1``: the row too many tells that there is a next page."""
        items = list(rows[:limit])
        more = len(rows) > limit
        return Page(items, self.encode(scope, position(items[-1])) if more else None)

    def _mac(self, scope: str, body: bytes) -> bytes:
        # RFC 7693 2.9: BLAKE2 with a key is a MAC, at a third of what HMAC costs.
        return blake2b(scope.encode() + b"\x00" + body, key=self._key, digest_size=_MAC_BYTES).digest()


def paged(request: ApiRequest, page: Page[T]) -> Response[Page[T]]:
    """The page with a Link header (RFC 8288) to the next one."""
    headers = {}
    if page.next_cursor is not None:
        asked = request.scope["query_string"].decode("ascii")
        # Plain as most are, it stands as it is; anything else is written anew, for its characters could end the link.
        pairs = asked if _PLAIN_QUERY(asked) else urlencode(parse_qsl(asked))
        kept = [pair for pair in pairs.split("&") if pair and not pair.startswith("cursor=")]
        headers["link"] = f'<{request.scope["path"]}?{"&".join([*kept, f"cursor={page.next_cursor}"])}>; rel="next"'
    return Response(page, headers=headers)
