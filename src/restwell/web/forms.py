"""A form, ``application/x-www-form-urlencoded``: what OAuth 2 has its clients send."""

from typing import Any, Final

from restwell.errors import BodyTooLarge, UnsupportedMediaType
from restwell.web.request import ApiRequest, decode_pairs

FORM: Final = "application/x-www-form-urlencoded"
MAX_BYTES: Final = 65_536
"""Decoding costs much for each byte that is percent-encoded: what is larger is sent as JSON."""


async def read_form(request: ApiRequest) -> Any:
    """For a handler's ``form`` parameter, as the Struct that it names. Fields not in it are ignored."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(f"Send the body as {FORM}.", headers={"accept": FORM})
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise BodyTooLarge(f"Send a form of at most {MAX_BYTES:,} bytes.")
    kind = request.route_handler.parsed_fn_signature.parameters["form"].annotation
    return decode_pairs(body, kind)
