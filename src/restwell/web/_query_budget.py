"""N+1 detection: within one request a named query runs once, or as often as its route allows.

``@get(query_budget={"products.by_id": 50})`` allows a loop. Every other repeated query is logged once per route and
query, counted in a metric, and fails the tests that run the application.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.edge._context import Hook, RequestContext
from restwell.observability._metric_families import define_counter
from restwell.observability._trace import current

log = structlog.get_logger("restwell.query_budget")

BUDGET: Final = 1
HINT: Final = (
    "Read the rows with one query: any_of(column, ...), a join, or batch_on= under gather(). "
    "If the repetition is intended, declare it on the route"
)


class Violation(Struct):
    """A query that exceeded the budget of a route: at most ``times`` per request, in ``requests`` requests."""

    method: str
    route: str
    query: str
    budget: int
    times: int = 0
    requests: int = 0

    def __str__(self) -> str:
        return (
            f"{self.method} {self.route} ran {self.query} {self.times} times in one request; "
            f"the budget is {self.budget}. "
            f'{HINT}: query_budget={{"{self.query}": {self.times}}}.'
        )


BUDGET_EXCEEDED: Final = define_counter(
    "restwell_query_budget_exceeded_total",
    "Requests in which a query exceeded the budget of the route.",
    "method",
    "route",
    "query",
)


class QueryBudget(Hook, Collector):
    """Compares how often each query ran in a request. It follows CurrentTrace, which counts them.

    ``violations`` are those above the budget.
    """

    def __init__(self) -> None:
        self.violations: dict[tuple[str, str, str], Violation] = {}

    def collect(self) -> Iterator[Metric]:
        requests = {key: violation.requests for key, violation in self.violations.items()}
        yield BUDGET_EXCEEDED.family(requests)

    def after(self, context: RequestContext) -> None:
        active = current.get()
        counts = active[2] if active is not None else None
        if counts and (repeated := {query: times for query, times in counts.items() if times > BUDGET}):
            self._compare(context, repeated)

    def _compare(self, context: RequestContext, repeated: Mapping[str, int]) -> None:
        route = context.route
        budgets = context.query_budgets or [route.query_budget if route is not None else {}]
        path = route.path if route is not None else str(context.scope.get("path_template"))
        for query, times in repeated.items():
            budget = sum(each.get(query, BUDGET) for each in budgets)
            if times > budget:
                self._record(Violation(context.method, path, query, budget), times)

    def _record(self, violation: Violation, times: int) -> None:
        key = (violation.method, violation.route, violation.query)
        known: Any = self.violations.setdefault(key, violation)
        known.times = max(known.times, times)
        known.requests += 1
        if known is violation:
            log.warning(
                "query_budget_exceeded", route=violation.route, query=violation.query, times=times, hint=str(violation)
            )
