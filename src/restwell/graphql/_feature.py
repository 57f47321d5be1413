"""GraphQL as a feature of an application."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Raw

from restwell.database import Database
from restwell.graphql._fields import Field, Limits
from restwell.graphql._graphiql import GraphiQL, GraphiQLController
from restwell.graphql._server import ERRORS, GraphQLRequest, GraphQLServer
from restwell.settings import Settings
from restwell.web import Controller, Feature, Request, Response, Stream, post
from restwell.web._declarations import Handler


class GraphQLController(Controller):
    path = GraphQLServer.path
    tags = ["GraphQL"]
    error_format = ERRORS

    @post(status_code=200, rate_limit=None, include_in_schema=False)
    async def execute(
        self, data: GraphQLRequest, request: Request, server: GraphQLServer
    ) -> Response[Raw] | Stream[Raw]:
        """Run a GraphQL operation."""
        return await server.answer(request, data)


class GraphQL(Feature):
    """``POST /graphql``, with handlers of the application as fields.

    ``queries`` and ``mutations``: handlers by name of the field: a method of a controller, a function with ``@get`` or
    another, the name of a route's handler, or a Field. They have the guards, rate limits and idempotency keys of their
    routes; path and query parameters are arguments, the body is ``input``, and a Page is a connection of Relay.
    ``subscriptions``: handlers that return an ``AsyncIterator``; their guards run again before each event.
    ``relations``: functions with ``@relation``. ``documents``: the file of the trusted documents, which
    ``restwell graphql persist`` writes; in production no others run, unless GRAPHQL_DOCUMENTS=any. With the extra
    ``graphiql``, ``GET /graphql`` is GraphiQL in development and test.
    """

    def __init__(
        self,
        *,
        queries: Mapping[str, Handler | str | Field],
        mutations: Mapping[str, Handler | str | Field] | None = None,
        subscriptions: Mapping[str, Handler | str | Field] | None = None,
        relations: Sequence[Callable[..., Awaitable[Any]]] = (),
        limits: Limits | None = None,
        documents: Path | None = None,
    ) -> None:
        def build(database: Database, settings: Settings) -> GraphQLServer:
            return GraphQLServer(
                {"Query": _fields(queries), "Mutation": _fields(mutations), "Subscription": _fields(subscriptions)},
                relations,
                limits or Limits(),
                documents,
                database=database,
                settings=settings,
            )

        super().__init__(
            controllers=[GraphQLController, GraphiQLController],
            services=[build, GraphiQL],
            tag_descriptions={"GraphQL": "Several resources in one request."},
        )


def _fields(declared: Mapping[str, Handler | str | Field] | None) -> dict[str, Field]:
    return {name: each if isinstance(each, Field) else Field(handler=each) for name, each in (declared or {}).items()}
