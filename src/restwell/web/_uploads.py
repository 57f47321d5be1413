"""File uploads as ``multipart/form-data`` (RFC 7578) with one part, named ``file``."""

from typing import Final

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from restwell.errors import FieldError, Invalid, MalformedRequest, UnsupportedMediaType
from restwell.web._request import Request

MULTIPART: Final = "multipart/form-data"
PART: Final = "file"
MULTIPART_PARTS: Final = 10
"""A form with more parts is rejected before its end is read."""
BOUNDARY_CHARS: Final = 70
"""RFC 2046 5.1.1."""


class Upload(Struct, frozen=True):
    """An uploaded file. ``filename`` and ``media_type`` come from the client and are not verified."""

    filename: str
    media_type: str
    content: bytes


async def read_upload(request: Request) -> Upload:
    """Read the file. ``max_body_bytes`` of the route limits the size of the form.

    Raises UnsupportedMediaType, MalformedRequest, or Invalid if the form is not exactly one file part.
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
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        parts.append(event)
                    elif event is not None:
                        content += event
    except MultipartError as error:
        raise MalformedRequest(f"The body is not valid {MULTIPART}: {error.args[0]}.") from None
    return _upload(parts, bytes(content))


def _upload(parts: list[MultipartSegment], content: bytes) -> Upload:
    if [part.name for part in parts] != [PART] or not parts[0].filename:
        # A part without `filename` is a text field; `filename*` is not allowed (RFC 7578 4.2).
        raise Invalid(errors=[FieldError(PART, "send exactly one part with this name and a filename")])
    part = parts[0]
    if part.header("Content-Transfer-Encoding", "binary").lower() not in {"7bit", "8bit", "binary"}:
        raise Invalid(errors=[FieldError(PART, "send the file without Content-Transfer-Encoding")])
    return Upload(part.filename, part.content_type or "text/plain", content)
