"""The ASGI application that the kit builds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from restwell._kit import Kit
from restwell._lifespan import Lifespan, refuse_websocket
from restwell.database import Migrations, Query, find_queries
from restwell.edge._concurrency_limiter import ConcurrencyLimiter
from restwell.edge._context import AsgiApp, Receive, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.edge._route import Route
from restwell.jobs import Worker, WorkerOptions
from restwell.jobs._rows import ClaimedJob
from restwell.settings import Settings
from restwell.web import Feature, Version
from restwell.web._endpoint import Endpoint
from restwell.web._openapi_schemas import Schema
from restwell.web._query_budget import QueryBudget
from restwell.web._transports import ListeningTransport, Transport

T = TypeVar("T")


class App:
    """The ASGI application: the edge around the routes, their OpenAPI document, and the kit."""

    def __init__(
        self,
        kit: Kit,
        edge: Edge,
        framework: AsgiApp | None,
        routes: Sequence[Route],
        *,
        migrations: Migrations,
        host_reason: str | None = None,
        documents: Mapping[str, Schema] | None = None,
        services: Sequence[object] = (),
        versions: Sequence[Version] = (),
        features: Sequence[Feature] = (),
        build_again: "Callable[[Settings], App] | None" = None,
    ) -> None:
        self.kit = kit
        self.routes = [route for route in routes if isinstance(route, Endpoint)]
        self.wrapped_routes = [route for route in routes if not isinstance(route, Endpoint)]
        self.host_reason = host_reason
        self.build_again = build_again
        self.versions = versions
        self.documents = documents or {}
        self._features = features
        self.migrations = migrations
        self.query_budget = edge.hook(QueryBudget)
        self.concurrency_limiter = edge.hook(ConcurrencyLimiter)
        self.on_startup: list[Callable[[], object]] = []
        self._services = services
        self.transports = [each for each in services if isinstance(each, Transport)]
        self._listening = [each for each in self.transports if isinstance(each, ListeningTransport)]
        for each in self._listening:
            kit.close_on_shutdown(each)
        self._edge = edge
        self._framework = framework
        self._lifespan = Lifespan(self._start, kit.close, framework)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._edge(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self._framework is not None:
            await self._framework(scope, receive, send)
        else:
            await refuse_websocket(receive, send)

    @property
    def openapi(self) -> Schema:
        """The OpenAPI document of the last version, which ``/openapi.json`` is."""
        return list(self.documents.values())[-1] if self.documents else {}

    def service(self, kind: Callable[..., T]) -> T:
        """The service of that type from the features. Raises LookupError without one. For scripts and tests."""
        for service in self._services:
            if isinstance(service, cast("type[T]", kind)):  # a Callable, so that mypy accepts an abstract class
                return service
        raise LookupError(f"the application has no {getattr(kind, '__name__', kind)}")

    def queries(self) -> list[Query[Any]]:
        """The named queries of the features."""
        return list(find_queries(*(source for feature in self._features for source in feature.queries)))

    def worker(
        self,
        options: WorkerOptions,
        *,
        execute_isolated: Callable[[ClaimedJob], None] | None = None,
        name: str | None = None,
        applies_events: bool = True,
    ) -> Worker:
        """Build a worker for the jobs, with the services of the routes. Start the kit before the worker.

        It runs the consumers of events too, if it ``applies_events``.
        """
        return self.kit.worker(
            self._services, options, execute_isolated=execute_isolated, name=name, applies_events=applies_events
        )

    async def _start(self) -> None:
        await self.kit.start()
        for transport in self._listening:
            await transport.start(self._edge)
        for start in self.on_startup:
            start()
