"""Runs documents: guards and rate limits as of the routes, then the library's executor."""

from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CoroutineType
from typing import Any, Final, TypeGuard

from graphql import GraphQLError, GraphQLSchema, execute, print_schema
from msgspec import Raw, Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database import Database
from restwell.edge._rate_limit import RateLimit
from restwell.errors import AppError, ErrorFormat, FieldError, Invalid
from restwell.graphql._documents import MAX_MESSAGE, Document, Documents, read_trusted
from restwell.graphql._errors import DocumentTooComplex
from restwell.graphql._executor import AttributeExecutor
from restwell.graphql._fields import Field, Limits
from restwell.graphql._plan import Plan
from restwell.graphql._samples import sample_document
from restwell.graphql._schema import Execution, build_schema
from restwell.graphql._types import camel
from restwell.idempotency import REPLAYED_HEADER
from restwell.observability._metric_families import define_counter
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Request, Response
from restwell.web._declarations import Handler
from restwell.web._dispatch import expected_error
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import FindService
from restwell.web._request import JSON
from restwell.web._transports import Operation, Transport

OPERATIONS: Final = define_counter(
    "restwell_graphql_operations_total",
    "Queries and mutations by outcome; error: the response has one.",
    "kind",
    "operation",
    "outcome",
)
DOCUMENTS_REFUSED: Final = define_counter(
    "restwell_graphql_documents_refused_total", "Documents of GraphQL that were refused before their guards.", "code"
)
MEDIA_TYPE: Final = "application/graphql-response+json"


class PersistedQuery(Struct, rename="camel"):
    sha256_hash: str


class Extensions(Struct, rename="camel"):
    persisted_query: PersistedQuery | None = None


class GraphQLRequest(Struct, rename="camel"):
    """A request of GraphQL over HTTP: a text, or the id of a trusted document, also as Apollo sends it."""

    query: str | None = None
    document_id: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: Extensions | None = None

    @property
    def id(self) -> str | None:
        persisted = self.extensions.persisted_query if self.extensions is not None else None
        return self.document_id or (persisted.sha256_hash if persisted is not None else None)


class GraphQLServer(Transport, Collector):
    """The schema of an application and its documents: ``app.service(GraphQLServer)``."""

    path = "/graphql"

    def __init__(
        self,
        queries: Mapping[str, Field],
        mutations: Mapping[str, Field],
        relations: Sequence[Callable[..., Any]],
        limits: Limits,
        documents: Path | None,
        *,
        database: Database,
        settings: Settings,
    ) -> None:
        self._queries = queries
        self._mutations = mutations
        self._relations = relations
        self._limits = limits
        self._database = database
        self._settings = settings
        self._rate_limit: RateLimit | None = None
        self._reads: Rate | None = None
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self.trusted_file = documents
        self.documents: Documents
        self.schema: GraphQLSchema

    @property
    def handlers(self) -> Sequence[Handler | str]:
        return [each.handler for each in (*self._queries.values(), *self._mutations.values())]

    def open(self, endpoints: Sequence[Endpoint], find_service: FindService, rate_limit: RateLimit | None) -> None:
        queries = dict(zip(self._queries, zip(self._queries.values(), endpoints, strict=False), strict=True))
        rest = endpoints[len(queries) :]
        mutations = dict(zip(self._mutations, zip(self._mutations.values(), rest, strict=True), strict=True))
        self.schema, self.operations = build_schema(queries, mutations, self._relations, find_service, self._database)
        self._rate_limit = rate_limit
        self._reads = rate_limit.reads if rate_limit is not None else None
        self.documents = Documents(
            self.schema,
            self._limits,
            read_trusted(self.trusted_file),
            only_trusted=not self._settings.has_free_documents,
            introspection=self._settings.has_introspection,
        )

    @property
    def sdl(self) -> str:
        """The schema in its own language."""
        return print_schema(self.schema) + "\n"

    def collect(self) -> Iterator[Metric]:
        yield OPERATIONS.family(self._outcomes)
        yield DOCUMENTS_REFUSED.family(self._refused)

    def sample(self, operation: Operation) -> dict[str, str]:
        return {"query": sample_document(self.schema, operation)}

    async def answer(self, request: Request, sent: GraphQLRequest) -> Response[Raw]:
        """Run the operation. Raises an AppError if it is refused as a whole."""
        variables = sent.variables or {}
        try:
            document = self.documents.find(sent.query, sent.id)
            plan = document.plan(sent.operation_name)
            costs = self.costs_of(plan, variables)
            self.documents.validate(document)
        except AppError as error:
            self._refused[error.code] += 1
            await self._count(request, [(self._reads, 1)])
            raise
        outcome = "refused"
        try:
            await self._admit(request, plan, costs)
            response, outcome = await self._execute(request, document, plan, sent.operation_name, variables)
        finally:
            for each in plan.fields:
                if each.operation is not None:
                    self._outcomes[each.operation.kind, each.operation.name, outcome] += 1
        return response

    def costs_of(self, plan: Plan, variables: Mapping[str, Any]) -> list[tuple[Rate | None, int]]:
        """How often each rate is counted. Raises DocumentTooComplex."""
        costs = plan.costs(variables)
        total = sum(cost for _, cost in costs)
        if total > self._limits.cost:
            raise DocumentTooComplex(
                f"The document asks for up to {total:,} objects; {self._limits.cost:,} is the limit."
            )
        each = self._limits.cost_per_request
        return [(operation.rate, max(1, -(-cost // each))) for operation, cost in costs] or [(self._reads, 1)]

    async def _admit(self, request: Request, plan: Plan, costs: Sequence[tuple[Rate | None, int]]) -> None:
        """Run the guards of everything that the document asks for, then count, also if a guard refuses."""
        try:
            for guard in plan.guards:
                await guard(request)
        except AppError:
            await self._count(request, costs)
            raise
        await self._count(request, costs)

    async def _count(self, request: Request, costs: Sequence[tuple[Rate | None, int]]) -> None:
        if self._rate_limit is None:
            return
        for rate, times in costs:
            if rate is not None:
                await self._rate_limit.charge(request.context, rate, times)

    async def _execute(
        self, request: Request, document: Document, plan: Plan, name: str | None, variables: Mapping[str, Any]
    ) -> tuple[Response[Raw], str]:
        """The response, and its outcome for the metrics."""
        execution = Execution(request)
        request.context.query_budgets = [each.query_budget for each in plan.operations]
        found: Any = execute(
            self.schema,
            document.node,
            context_value=execution,
            variable_values=dict(variables),
            operation_name=name,
            executor_class=AttributeExecutor,
            is_awaitable=_is_coroutine,
            is_async_iterable=_never,
            hide_suggestions=True,
        )
        result = await found if _is_coroutine(found) else found
        errors: list[GraphQLError] = result.errors or []
        if result.data is None:  # fields of Query and Mutation may be null: it did not begin
            raise Invalid(errors[0].message[:MAX_MESSAGE])
        body: dict[str, Any] = {"errors": [self._shown(request, each) for each in errors]} if errors else {}
        body["data"] = result.data
        headers = {REPLAYED_HEADER: "true"} if execution.is_replayed else {}
        accept = request.headers.get("accept", "")
        media_type = JSON if JSON in accept and MEDIA_TYPE not in accept else MEDIA_TYPE
        outcome = "error" if errors else "replayed" if execution.is_replayed else "ok"
        return Response(content=Raw(encode_json(body)), headers=headers, media_type=media_type), outcome

    def _shown(self, request: Request, error: GraphQLError) -> dict[str, Any]:
        """An error of a field, with the problem that the route would respond with."""
        cause = error.original_error
        found = expected_error(cause, request.path) if cause is not None else Invalid(error.message[:MAX_MESSAGE])
        shown = graphql_error(found, request.request_id)
        shown["path"] = error.path
        return shown


def graphql_error(error: AppError, request_id: str) -> dict[str, Any]:
    problem = error.problem(request_id)
    extensions: dict[str, Any] = {"code": problem.code, "status": problem.status, "request_id": problem.request_id}
    if problem.errors:
        extensions["errors"] = [FieldError(camel(each.path), each.message) for each in problem.errors]
    return {"message": problem.detail, "extensions": extensions}


ERRORS: Final = ErrorFormat(
    media_type=MEDIA_TYPE, body=lambda error, request_id: {"errors": [graphql_error(error, request_id)]}, schema=dict
)
"""Of requests that are refused as a whole."""


def _is_coroutine(value: object) -> TypeGuard[Awaitable[Any]]:
    return type(value) is CoroutineType


def _never(_value: object) -> TypeGuard[AsyncIterable[Any]]:
    return False
