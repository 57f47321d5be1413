"""A file sent as a form, ``multipart/form-data`` (RFC 7578): one part, named ``file``."""

from typing import Final

from litestar.datastructures import UploadFile
from msgspec import Struct

from restwell.errors import FieldError, Invalid, UnsupportedMediaType
from restwell.web.request import ApiRequest

MULTIPART: Final = "multipart/form-data"
PART: Final = "file"
MULTIPART_PARTS: Final = 10
"""A form with more parts is refused while it is read."""


class Upload(Struct, frozen=True):
    """What was sent, as its sender names it: neither name nor type is to be believed."""

    filename: str
    media_type: str
    content: bytes


async def read_upload(request: ApiRequest) -> Upload:
    """For a handler's ``upload`` parameter. Its size is limited as the body is, by ``request_max_body_size`` of the route.

    Raises UnsupportedMediaType, and Invalid where there is not exactly that one part.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MULTIPART:
        raise UnsupportedMediaType(
            f"Send the file as {MULTIPART}, in a part named {PART}.", headers={"accept": MULTIPART}
        )
    form = await request.form()
    parts = list(form.multi_items())
    value = parts[0][1] if [name for name, _ in parts] == [PART] else None
    if not isinstance(value, UploadFile):
        raise Invalid(errors=[FieldError(PART, "send one part of this name, a file, and no other")])
    return Upload(value.filename, value.content_type, await value.read())
