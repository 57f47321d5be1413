"""Problem responses (RFC 9457) of the edge."""

import msgspec

from restwell.edge._context import Response
from restwell.errors import PROBLEM_MEDIA_TYPE, AppError


def problem_response(error: AppError, request_id: str) -> Response:
    body = msgspec.json.encode(error.problem(request_id))
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
    ]
    return error.status, headers, body
