"""What the metrics say about the usage of the API, for ``restwell api usage`` and the operations page."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeVar

import msgspec
from msgspec import Struct

from restwell.edge._api_usage import DEPRECATED_REQUESTS, DEPRECATIONS, REQUESTS
from restwell.observability._metric_families import MetricDefinition

T = TypeVar("T")

PREFIXES: Final = ("restwell_api_", "restwell_deprecated_")
"""How the names of the metrics begin."""

Samples = Mapping[str, Iterable[tuple[Mapping[str, str], float]]]
"""Labels and values by the name of the metric, without ``_total``."""


class VersionRequests(Struct, frozen=True):
    """``client`` is empty for those that are counted together."""

    version: str
    client: str
    requests: float


class DeprecatedRequests(Struct, frozen=True):
    """The requests of a client for a deprecated route. All texts are empty for those that are counted together."""

    method: str
    route: str
    client: str
    requests: float


class Deprecation(Struct):
    """A version or a route that is deprecated, with the dates as texts, and the requests for it."""

    method: str
    route: str
    deprecated: str
    sunset: str
    successor: str
    guide: str
    requests: float

    def state(self, now: datetime) -> Literal["announced", "deprecated", "ended"]:
        if self.sunset and now >= _moment(self.sunset):
            return "ended"
        return "deprecated" if now >= _moment(self.deprecated) else "announced"


class UsageReport(Struct, frozen=True):
    """``versions`` and ``callers`` begin with the most requests, ``deprecations`` with what ends first."""

    versions: list[VersionRequests]
    deprecations: list[Deprecation]
    callers: list[DeprecatedRequests]


def usage_report(samples: Samples) -> UsageReport:
    versions = _rows(samples, REQUESTS, VersionRequests)
    callers = _rows(samples, DEPRECATED_REQUESTS, DeprecatedRequests)
    deprecations = _rows(samples, DEPRECATIONS, Deprecation)
    for each in deprecations:
        each.requests = 0  # the value of the gauge is the number of processes
    deprecations.sort(key=lambda each: (each.sunset or "9999", each.route, each.method))
    for caller in callers:
        owner = _owner(deprecations, caller)
        if owner is not None:
            owner.requests += caller.requests
    versions.sort(key=lambda each: (-each.requests, each.version, each.client))
    callers.sort(key=lambda each: (-each.requests, each.route, each.method, each.client))
    return UsageReport(versions, deprecations, callers)


def _rows(samples: Samples, metric: MetricDefinition, kind: type[T]) -> list[T]:
    found = samples.get(metric.name.removesuffix("_total"), ())
    return [msgspec.convert({**labels, "requests": value}, kind) for labels, value in found]


def _owner(deprecations: Iterable[Deprecation], caller: DeprecatedRequests) -> Deprecation | None:
    """What the requests belong to: the route, if it has dates of its own, or its version."""
    own = [each for each in deprecations if (each.method, each.route) == (caller.method, caller.route)]
    versions = [each for each in deprecations if not each.method and caller.route.startswith(f"{each.route}/")]
    return next(iter([*own, *versions]), None)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
