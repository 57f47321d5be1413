"""Error responses of the edge."""

import msgspec

from restwell.edge._context import Response
from restwell.errors import AppError, ErrorFormat


def error_response(error: AppError, request_id: str, errors: ErrorFormat) -> Response:
    """The response to a request that failed with ``error``, in the format of the application."""
    body = msgspec.json.encode(errors.body(error, request_id))
    headers = [
        (b"content-type", errors.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in {**errors.headers, **error.headers}.items()),
    ]
    return error.status, headers, body
