"""Runs documents: guards and rate limits as of the routes, then the library's executor."""

from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CoroutineType
from typing import Any, Final, TypeGuard

from graphql import ExecutionResult, Executor, GraphQLError, GraphQLSchema, execute_root_selection_set, print_schema
from msgspec import Raw, Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.database import Database
from restwell.edge._rate_limit import RateLimit
from restwell.errors import AppError, ErrorFormat, FieldError, Invalid
from restwell.graphql._documents import Document, Documents, read_trusted
from restwell.graphql._errors import MAX_MESSAGE, DocumentTooComplex, problem_of
from restwell.graphql._executor import AttributeExecutor
from restwell.graphql._fields import Field, Limits
from restwell.graphql._plan import Plan
from restwell.graphql._samples import sample_document
from restwell.graphql._schema import Execution, build_schema
from restwell.graphql._subscriptions import Subscriptions
from restwell.graphql._types import camel
from restwell.idempotency import REPLAYED_HEADER
from restwell.observability._metric_families import define_counter, define_gauge
from restwell.rate_limits import Rate
from restwell.settings import Settings
from restwell.web import Request, Response, Stream
from restwell.web._declarations import Handler
from restwell.web._encoding import encode_json
from restwell.web._endpoint import Endpoint
from restwell.web._parameters import FindService
from restwell.web._request import JSON
from restwell.web._transports import Operation, Transport

OPERATIONS: Final = define_counter(
    "restwell_graphql_operations_total",
    "Queries, mutations and subscriptions by outcome; error: the response has one.",
    "kind",
    "operation",
    "outcome",
)
DOCUMENTS_REFUSED: Final = define_counter(
    "restwell_graphql_documents_refused_total", "Documents of GraphQL that were refused before their guards.", "code"
)
SUBSCRIPTIONS: Final = define_gauge("restwell_graphql_subscriptions", "Open subscriptions of GraphQL.")
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
        roots: Mapping[str, Mapping[str, Field]],
        relations: Sequence[Callable[..., Any]],
        limits: Limits,
        documents: Path | None,
        *,
        database: Database,
        settings: Settings,
    ) -> None:
        self._roots = roots
        self._relations = relations
        self._limits = limits
        self._database = database
        self._settings = settings
        self._subscriptions = Subscriptions(limits)
        self._rate_limit: RateLimit | None = None
        self._reads: Rate | None = None
        self._outcomes: Counter[tuple[str, str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self.trusted_file = documents
        self.documents: Documents
        self.schema: GraphQLSchema

    @property
    def handlers(self) -> Sequence[Handler | str]:
        return [each.handler for fields in self._roots.values() for each in fields.values()]

    def open(self, endpoints: Sequence[Endpoint], find_service: FindService, rate_limit: RateLimit | None) -> None:
        following = iter(endpoints)
        roots = {
            root: {name: (field, next(following)) for name, field in fields.items()}
            for root, fields in self._roots.items()
        }
        self.schema, self.operations = build_schema(roots, self._relations, find_service, self._database)
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
        yield SUBSCRIPTIONS.family(self._subscriptions.count)

    def sample(self, operation: Operation) -> dict[str, str]:
        return {"query": sample_document(self.schema, operation)}

    async def answer(self, request: Request, sent: GraphQLRequest) -> Response[Raw] | Stream[Raw]:
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
        response: Response[Raw] | Stream[Raw]
        try:
            await self._admit(request, plan, costs)
            executor = self._executor(request, document, plan, sent.operation_name, variables)
            if plan.kind == "subscription":
                response = await self._subscriptions.open(request, executor, plan.guards, self._body)
                outcome = "ok"
            else:
                response, outcome = await self._execute(request, executor)
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

    def _executor(
        self, request: Request, document: Document, plan: Plan, name: str | None, variables: Mapping[str, Any]
    ) -> Executor[Any]:
        """Raises Invalid for wrong variables."""
        request.context.query_budgets = [each.query_budget for each in plan.operations]
        found = AttributeExecutor.build(
            self.schema,
            document.node,
            context_value=Execution(request),
            raw_variable_values=dict(variables),
            operation_name=name,
            is_awaitable=_is_coroutine,
            is_async_iterable=_never,
            hide_suggestions=True,
        )
        if isinstance(found, list):
            raise Invalid(found[0].message[:MAX_MESSAGE])
        return found

    async def _execute(self, request: Request, executor: Executor[Any]) -> tuple[Response[Raw], str]:
        """The response, and its outcome for the metrics."""
        found: Any = execute_root_selection_set(executor)
        result: ExecutionResult = await found if _is_coroutine(found) else found
        is_replayed = executor.context_value.is_replayed
        headers = {REPLAYED_HEADER: "true"} if is_replayed else {}
        accept = request.headers.get("accept", "")
        media_type = JSON if JSON in accept and MEDIA_TYPE not in accept else MEDIA_TYPE
        outcome = "error" if result.errors else "replayed" if is_replayed else "ok"
        body = Raw(self._body(request, result))
        return Response(content=body, headers=headers, media_type=media_type), outcome

    def _body(self, request: Request, result: ExecutionResult) -> bytes:
        errors = [self._shown(request, each) for each in result.errors or ()]
        return encode_json({"errors": errors, "data": result.data} if errors else {"data": result.data})

    def _shown(self, request: Request, error: GraphQLError) -> dict[str, Any]:
        """An error of a field; without a path, of a subscription that ends."""
        shown = graphql_error(problem_of(error, request.path), request.request_id)
        return {**shown, "path": error.path} if error.path is not None else shown


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
