"""A form, ``application/x-www-form-urlencoded``: what OAuth 2 has its clients send."""

from typing import Any, Final

from restwell.errors import UnsupportedMediaType
from restwell.web.request import ApiRequest, decode_pairs

FORM: Final = "application/x-www-form-urlencoded"


async def read_form(request: ApiRequest) -> Any:
    """For a handler's ``form`` parameter, as the Struct that it names. Fields not in it are ignored."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(f"Send the body as {FORM}.", headers={"accept": FORM})
    kind = request.route_handler.parsed_fn_signature.parameters["form"].annotation
    return decode_pairs(await request.body(), kind)
