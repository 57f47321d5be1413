"""Named queries: how often each runs and how long it takes in all processes of the machine, its SQL and its plan."""

from enum import StrEnum
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from restwell.database import Database, Plan, Query, explain_queries
from restwell.database._metrics import QUERY_DURATION
from restwell.database._query import Compiled, known_queries
from restwell.errors import NotFound
from restwell.fields import anchored
from restwell.observability._metrics import Metrics
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response

PATH: Final = f"{ROOT}/queries"
MAX_ROWS: Final = 500


class Sort(StrEnum):
    NAME = "name"
    COUNT = "count"
    TOTAL = "total"
    MEAN = "mean"
    SHARE = "share"


COLUMNS: Final = (
    (Sort.NAME, "Query"),
    (Sort.COUNT, "Executions"),
    (Sort.TOTAL, "Total time"),
    (Sort.MEAN, "Mean time"),
    (Sort.SHARE, "Share"),
)


class QueryRow(Struct, frozen=True):
    """The executions of one query, and their ``share`` of the time of all queries."""

    name: str
    count: float
    seconds: float
    share: float

    @property
    def mean_seconds(self) -> float | None:
        return self.seconds / self.count if self.count else None


class ShownPlan(Struct, frozen=True):
    """A plan, or why there is none."""

    query: str
    summary: str
    findings: tuple[str, ...]
    is_plan: bool


class QueriesQuery(Struct, frozen=True, kw_only=True):
    sort: Sort = Sort.TOTAL


class QueryQuery(Struct, frozen=True, kw_only=True):
    """``name`` is that of a query; of queries that were sent together, the names with plus signs."""

    name: Annotated[str, Meta(min_length=1, max_length=1_000, pattern=anchored(r"[^\x00-\x1f\x7f]*"))]
    plan: bool = False


class QueriesController(Controller):
    path = PATH

    @page()
    async def queries(
        self, request: Request, layout: Layout, filters: QueriesQuery, metrics: Metrics
    ) -> Response[bytes]:
        rows = await read_queries(metrics)
        return layout.page(
            request,
            "queries.html",
            rows=sorted(rows, key=_KEYS[filters.sort])[:MAX_ROWS],
            total_count=sum(row.count for row in rows),
            total_seconds=sum(row.seconds for row in rows),
            columns=COLUMNS,
            sort=filters.sort,
        )

    @page("/query", query_budget={"explain.tables": 16})
    async def show_query(
        self, request: Request, layout: Layout, filters: QueryQuery, metrics: Metrics, database: Database
    ) -> Response[bytes]:
        """The plan is made on demand. Nothing is executed."""
        name = filters.name
        row = next((row for row in await read_queries(metrics) if row.name == name), None)
        known = [known_queries[part] for part in dict.fromkeys(name.split("+")) if part in known_queries]
        if row is None and not known:
            raise NotFound(f"No query is named {name}.")
        plans = [plan for query in known for plan in await _plans_of(database, query)] if filters.plan else []
        statements = [statement for query in known for statement in _statements(query, database.dialect)]
        return layout.page(request, "query.html", name=name, row=row, statements=statements, plans=plans)


_KEYS: Final[dict[Sort, Any]] = {
    Sort.NAME: lambda row: row.name,
    Sort.COUNT: lambda row: (-row.count, row.name),
    Sort.TOTAL: lambda row: (-row.seconds, row.name),
    Sort.MEAN: lambda row: (-(row.mean_seconds or 0), row.name),
    Sort.SHARE: lambda row: (-row.seconds, row.name),
}


async def read_queries(metrics: Metrics) -> list[QueryRow]:
    """The queries that have run in any process of this machine."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for family in await metrics.families(QUERY_DURATION.name):
        for each in family.series:
            query = each.labels["db_query_summary"]
            sums[query] = sums.get(query, 0) + each.sum
            counts[query] = counts.get(query, 0) + sum(each.counts)
    total = sum(sums.values())
    return [QueryRow(name, counts[name], sums[name], sums[name] / total if total else 0) for name in sums]


def _statements(query: Query[Any], dialect: str) -> list[Compiled]:
    return [form[dialect] for form in (query.compiled, query.batched) if dialect in form]


async def _plans_of(database: Database, query: Query[Any]) -> list[ShownPlan]:
    try:
        plans: list[Plan] = await explain_queries(database, [query])
    except Exception as error:  # noqa: BLE001  # a statement that has no plan, or the database is unavailable
        return [ShownPlan(query.name, f"There is no plan: {error}", (), is_plan=False)]
    return [ShownPlan(plan.query, plan.summary.replace(" · ", "\n"), plan.findings, is_plan=True) for plan in plans]


PAGE: Final = OpsPage("Queries", QueriesController)
