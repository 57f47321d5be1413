"""A problem as the edge itself answers with it."""

import msgspec

from restwell.edge.exchange import Reply
from restwell.errors import PROBLEM_MEDIA_TYPE, AppError


def problem_reply(error: AppError, request_id: str) -> Reply:
    body = msgspec.json.encode(error.problem(request_id))
    headers = [
        (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
    ]
    return error.status, headers, body
