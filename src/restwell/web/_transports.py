"""Other protocols than REST that run handlers of the application, such as GraphQL."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from msgspec import Struct

from restwell.edge._rate_limit import RateLimit
from restwell.rate_limits import Rate
from restwell.web._declarations import Guard, Handler
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import FindService


class Operation(Struct, frozen=True, kw_only=True, eq=False):
    """What a client may call: ``kind`` is QUERY, MUTATION or, for a field of an object, FIELD.

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
