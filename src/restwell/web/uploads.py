"""A file sent as a form, ``multipart/form-data`` (RFC 7578): one part, named ``file``."""

from typing import Final

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from restwell.errors import FieldError, Invalid, MalformedRequest, UnsupportedMediaType
from restwell.web.request import ApiRequest

MULTIPART: Final = "multipart/form-data"
PART: Final = "file"
MULTIPART_PARTS: Final = 10
"""A form with more parts is refused while it is read."""
BOUNDARY_CHARS: Final = 70
"""RFC 2046 5.1.1."""


class Upload(Struct, frozen=True):
    """What was sent, as its sender names it: neither name nor type is to be believed."""

    filename: str
    media_type: str
    content: bytes


async def read_upload(request: ApiRequest) -> Upload:
    """For a handler's ``upload`` parameter. Its size is limited as the body is, by ``request_max_body_size`` of the route.

    Raises UnsupportedMediaType, MalformedRequest, and Invalid where there is not exactly that one part.
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != MULTIPART:
        raise UnsupportedMediaType(
            f"Send the file as {MULTIPART}, in a part named {PART}.", headers={"accept": MULTIPART}
        )
    boundary = options.get("boundary", "")
    if not (0 < len(boundary) <= BOUNDARY_CHARS and boundary.isascii() and boundary.isprintable()):
        raise MalformedRequest(f"Content-Type needs a boundary of 1 to {BOUNDARY_CHARS} characters.")
    parts: list[MultipartSegment] = []
    content = bytearray()
    try:
        with PushMultipartParser(boundary, max_segment_count=MULTIPART_PARTS) as parser:
            async for chunk in request.stream():
                for found in parser.parse(chunk) if chunk else ():
                    if isinstance(found, MultipartSegment):
                        parts.append(found)
                    elif found is not None and len(parts) == 1:
                        content += found
    except MultipartError as error:
        raise MalformedRequest(f"The body is not valid {MULTIPART}: {error.args[0]}.") from None
    return _upload(parts, bytes(content))


def _upload(parts: list[MultipartSegment], content: bytes) -> Upload:
    if [part.name for part in parts] != [PART] or not parts[0].filename:
        # A part without `filename` is a text, and `filename*` is not for forms (RFC 7578 4.2).
        raise Invalid(errors=[FieldError(PART, "send one part of this name, a file with its filename, and no other")])
    part = parts[0]
    if part.header("Content-Transfer-Encoding", "binary").lower() not in {"7bit", "8bit", "binary"}:
        raise Invalid(errors=[FieldError(PART, "send the file as it is, without Content-Transfer-Encoding")])
    return Upload(part.filename, part.content_type or "text/plain", content)
