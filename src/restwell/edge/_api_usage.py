"""Counts who calls which version of the API, and what of it is deprecated. ``restwell api usage`` reads it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from restwell.edge._context import Hook, RequestContext
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._route import Route
from restwell.observability._metric_families import define_counter, define_gauge

MAX_COUNTED: Final = 1_000
"""The number of combinations of route and client that are counted; the others are counted together."""

REQUESTS: Final = define_counter(
    "restwell_api_requests_total",
    "Requests for the routes of a version, by the kind of the client or the id of a machine client.",
    "version",
    "client",
)
DEPRECATED_REQUESTS: Final = define_counter(
    "restwell_deprecated_requests_total",
    "Requests for deprecated routes, by the kind of the client or the id of a machine client.",
    "method",
    "route",
    "client",
)
DEPRECATIONS: Final = define_gauge(
    "restwell_api_deprecation_info",
    "Deprecated versions (no method) and routes. The value is 1.",
    "method",
    "route",
    "deprecated",
    "sunset",
    "successor",
    "guide",
)


class ApiUsage(Hook, Collector):
    """``versions``: the lifecycles of the versions by their prefixes."""

    def __init__(self, routes: Iterable[Route], versions: Mapping[str, Lifecycle | None]) -> None:
        self._versions: dict[int, str] = {}
        self._deprecations = {_labels("", prefix, each): 1.0 for prefix, each in versions.items() if each is not None}
        for route in routes:
            prefix = next((each for each in versions if route.path.startswith(f"{each}/")), None)
            if prefix is not None:
                self._versions[id(route)] = prefix
            own = route.lifecycle
            if own is not None and (prefix is None or own is not versions[prefix]):
                self._deprecations[_labels(route.method, route.path, own)] = 1.0
        self._requests: dict[tuple[str, str], int] = {}
        self._deprecated: dict[tuple[str, str, str], int] = {}

    @property
    def is_needed(self) -> bool:
        return bool(self._versions or self._deprecations)

    def after(self, context: RequestContext) -> None:
        route = context.route
        if route is None:
            return
        version, is_deprecated = self._versions.get(id(route)), route.lifecycle is not None
        if version is None and not is_deprecated:
            return
        caller = context.caller
        client = _client(caller) if caller is not None else "anonymous"
        if version is not None:
            _count(self._requests, (version, client))
        if is_deprecated:
            _count(self._deprecated, (context.method, route.path, client))

    def collect(self) -> Iterator[Metric]:
        yield REQUESTS.family(self._requests)
        yield DEPRECATED_REQUESTS.family(self._deprecated)
        yield DEPRECATIONS.family(self._deprecations)


def _count(counts: dict[Any, int], key: tuple[str, ...]) -> None:
    try:
        counts[key] += 1
    except KeyError:
        if len(counts) >= MAX_COUNTED:
            key = ("",) * len(key)
        counts[key] = counts.get(key, 0) + 1


def _client(caller: object) -> str:
    """Who called: the id of a machine client, or the kind of another one, which must not become a label."""
    if getattr(caller, "is_machine", False):
        identifier: UUID = caller.id  # type: ignore[attr-defined]  # an Actor, which the edge does not import
        return str(identifier)
    return "api key" if getattr(caller, "is_api_key", False) else "user"


def _labels(method: str, path: str, lifecycle: Lifecycle) -> tuple[str, ...]:
    dates = [_date(each) for each in (lifecycle.deprecated_at, lifecycle.sunset_at)]
    return method, path, *dates, lifecycle.successor or "", lifecycle.guide or ""


def _date(moment: datetime | None) -> str:
    """The date, and the time if it is not midnight UTC."""
    return moment.isoformat(sep=" ").removesuffix("+00:00").removesuffix(" 00:00:00") if moment is not None else ""
