"""Form bodies, ``application/x-www-form-urlencoded``, as OAuth 2.0 clients send them."""

from typing import Any, Final

from msgspec import Struct

from restwell.errors import BodyTooLarge, UnsupportedMediaType
from restwell.web._decoding import decode_form
from restwell.web._request import Request

FORM: Final = "application/x-www-form-urlencoded"
MAX_BYTES: Final = 65_536
"""Decoding percent-encoding is slow: larger bodies must be JSON."""


async def read_form(request: Request, *, kind: type[Struct]) -> Any:
    """Decode the body into a Struct. Unknown fields are ignored."""
    if request.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() != FORM:
        raise UnsupportedMediaType(f"Send the body as {FORM}.", headers={"accept": FORM})
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise BodyTooLarge(f"Send a form of at most {MAX_BYTES:,} bytes.")
    return decode_form(body, kind)
