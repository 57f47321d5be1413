"""Idempotent routes: a client can retry them safely.

::

    @post(guards=[signed_in], errors=[OutOfStock])
    @idempotent
    async def create_order(
        self, data: JSONBody[OrderCreateRequest], actor: Inject[Actor], tx: Transaction
    ) -> Response[Order]:

The client sends an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07). The handler runs in the transaction
``tx``, which also stores the response. A retry receives the stored response with ``Idempotent-Replayed: true``. The
handler must have no effect outside of ``tx``: after a transaction conflict it runs again. An exception rolls back the
transaction, and the key can be used again.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, Final, cast, get_type_hints

import msgspec
from litestar import Litestar, Response
from litestar.handlers import BaseRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute

from restwell.database import Database
from restwell.idempotency import HEADER, StoredResponse, execute_once
from restwell.web._guards import authenticates, current_actor
from restwell.web._request import JSON, ApiRequest

_TX: Final = "tx"
_KEY: Final = "idempotency_key"
_REQUEST: Final = "idempotent_request"
_OTHER_BODIES: Final = frozenset({"form", "upload"})
_DESCRIPTION: Final = (
    "A unique value for each request, such as a UUID. A retry with the same key receives the same response."
)
_Key = Annotated[str | None, HeaderParameter(name=HEADER, description=_DESCRIPTION)]

Handler = Callable[..., Awaitable[Any]]


def idempotent(handler: Handler) -> Handler:
    """Decorate the handler below the route decorator. Raises TypeError for a handler without ``tx``."""
    signature = inspect.signature(handler)
    if _TX not in signature.parameters:
        raise TypeError(f"{handler.__qualname__} is idempotent and needs a parameter tx: Transaction")

    @wraps(handler)
    async def once(*args: Any, request: ApiRequest, idempotency_key: _Key = None, **arguments: Any) -> Response[Any]:
        database = cast("Database", request.app.state.database)
        body = msgspec.json.encode(arguments["data"]) if "data" in arguments else b""
        if request.scope["query_string"]:
            body += b"?" + request.scope["query_string"]
        target = f"{request.method} {request.scope['path']}"
        caller = current_actor(request).id

        async def run_handler() -> StoredResponse:
            return _answer(request, await handler(*args, **arguments, tx=database.current_transaction))

        answer = await execute_once(database, caller, idempotency_key, target, body, run_handler)
        return Response(answer.body, status_code=answer.status, headers=answer.headers, media_type=JSON)

    parameters = [each for name, each in signature.parameters.items() if name not in {_TX, "request"}]
    added = [
        inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=ApiRequest),
        inspect.Parameter(_KEY, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Key),
    ]
    parameters += added
    once.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by Litestar
    hints = get_type_hints(handler, include_extras=True)
    del hints[_TX]
    once.__annotations__ = {**hints, "request": ApiRequest, _KEY: _Key}
    return once


def is_idempotent(handler: BaseRouteHandler) -> bool:
    return _KEY in handler.parsed_fn_signature.parameters


def check_idempotent_routes(app: Litestar) -> None:
    """Raises TypeError for an idempotent route without authentication, or with a form or upload."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if is_idempotent(handler) and not _OTHER_BODIES.isdisjoint(handler.parsed_fn_signature.parameters):
                raise TypeError(f"{handler.handler_name} is idempotent: only JSON bodies (data) are supported")
            if is_idempotent(handler) and not authenticates(handler):
                raise TypeError(
                    f"{handler.handler_name} is idempotent and needs a guard that authenticates, such as signed_in"
                )


def _answer(request: ApiRequest, result: Any) -> StoredResponse:
    default = request.route_handler.status_code
    if not isinstance(result, Response):
        return StoredResponse(default, {}, msgspec.json.encode(result))
    return StoredResponse(result.status_code or default, dict(result.headers), msgspec.json.encode(result.content))
