"""Idempotent routes: ``@post(guards=[signed_in], idempotent=True)``. A client can repeat a request safely.

The client sends an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07). The transactions of the handler are
one, which also stores the response. A repeated request receives the stored response with ``Idempotent-Replayed: true``.
The handler must have no effect outside of its transactions: after a conflict it runs again. An exception rolls back
everything, and the key can be used again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from restwell.database import Database
from restwell.edge._context import Response as RawResponse
from restwell.edge._context import Scope
from restwell.idempotency import HEADER, StoredResponse, execute_once
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._request import JSON, Request
from restwell.web._responses import Response

DESCRIPTION: Final = (
    "A unique value for each request, such as a UUID. A retry with the same key receives the same response."
)

Encode = Callable[[Endpoint, Scope, Any], RawResponse]


async def call_once(
    database: Database, endpoint: Endpoint, request: Request, values: Mapping[str, Any], encode: Encode
) -> Response[bytes]:
    """Call the handler, or return the stored response of the first request with this key."""
    body = b""
    if isinstance(endpoint.parameters.data, TypeAdapter):
        body = await request.body()  # an encoded model may lack fields, such as a SecretStr
    elif "data" in values:
        body = encode_json(values["data"])
    if request.query_string:
        body += b"?" + request.query_string

    async def operation() -> StoredResponse:
        result = await endpoint.handler(**values)
        if isinstance(result, Response) and result.cookies:
            raise TypeError(f"{endpoint.method} {endpoint.path} is idempotent: a cookie must not be stored")
        status, headers, content = encode(endpoint, request.scope, result)
        stored = {name.decode(): value.decode("latin-1") for name, value in headers if name != b"content-length"}
        return StoredResponse(status, stored, content)

    key = request.headers.get(HEADER)
    caller, target = request.actor.id, f"{request.method} {request.path}"
    answer = await execute_once(database, caller, key, target, body, operation)
    headers = dict(answer.headers)
    media_type = headers.pop("content-type", JSON)
    return Response(content=answer.body, status_code=answer.status, headers=headers, media_type=media_type)
