"""Other protocols than REST that run handlers of the application, such as GraphQL."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from restwell.edge._context import AsgiApp
from restwell.edge._pipeline import Edge
from restwell.edge._rate_limit import RateLimit
from restwell.edge._route import PATH_TYPES
from restwell.errors import FieldError, Invalid, NotFound
from restwell.rate_limits import Rate
from restwell.web._declarations import Guard, Handler
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import FindService
from restwell.web._responses import Response
from restwell.web._validation import decode_hook, find_field_errors


class Operation(Struct, frozen=True, kw_only=True, eq=False):
    """What a client may call: ``kind`` is QUERY, MUTATION, SUBSCRIPTION, FIELD of an object or, of gRPC, RPC.

    ``guards``, ``rate`` (None without a limit) and ``query_budget``: as those of a route.
    """

    kind: str
    name: str
    guards: tuple[Guard, ...]
    query_budget: Mapping[str, int]
    rate: Rate | None = None


class Transport(ABC):
    """A service that runs handlers of the application. It is complete once ``open`` was called.

    ``path``: of the route that takes the requests. ``operations``: all that a client may call.
    """

    path: str
    operations: Sequence[Operation] = ()

    @property
    @abstractmethod
    def handlers(self) -> Sequence[Handler | str]:
        """The handlers that it runs: methods of controllers, functions with ``@get`` or another, or names of routes."""

    @abstractmethod
    def open(self, endpoints: Sequence[Endpoint], find_service: FindService, rate_limit: RateLimit | None) -> None:
        """Take the endpoint of each handler. Raises TypeError for one that the protocol cannot express."""

    @abstractmethod
    def sample(self, operation: Operation) -> object:
        """The body of a request that calls the operation, for tests."""


class ListeningTransport(Transport):
    """A transport with a port of its own. It listens while the application runs.

    ``path`` is empty. ``edge``: once it has started, the ASGI application that its calls pass, for tests.
    """

    path = ""
    edge: AsgiApp | None = None

    @abstractmethod
    def endpoint_of(self, operation: Operation) -> Endpoint:
        """The route of ``edge`` that calls the operation."""

    @abstractmethod
    async def start(self, edge: Edge) -> None:
        """Listen. ``edge`` is that of the application, whose hooks apply to every protocol."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the calls in progress, and stop. Does nothing if it has not started."""


def content_of(result: Any) -> Any:
    """The content of a handler's result."""
    return result.content if isinstance(result, Response) else result


def path_value(value: Any, kind: type) -> Any:
    """The value of a path parameter. Raises NotFound for one that no path has, as the router does."""
    allowed = PATH_TYPES[kind]
    text = str(value)
    if not allowed.matches(text):
        raise NotFound
    return allowed.parse(text)


def query_values(kind: type[Struct], values: Mapping[str, Any], show: Callable[[str], str] = str) -> Struct:
    """The query parameters. Raises Invalid with every field error; ``show`` names a field as the protocol does."""
    try:
        return msgspec.convert(values, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        errors = find_field_errors(values, kind, error)
        raise Invalid(
            errors=[FieldError(show(each.path.removeprefix("$.")), each.message) for each in errors]
        ) from None
