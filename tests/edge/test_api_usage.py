"""The counts of who calls which version; ``tests/test_app_versions.py`` has them of an application."""

from datetime import UTC, date, datetime
from types import SimpleNamespace
from uuid import UUID

from restwell.auth import MACHINE, Actor
from restwell.edge import _api_usage
from restwell.edge._api_usage import ApiUsage
from restwell.edge._context import RequestContext, new_context
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._route import Route

LIFECYCLE = Lifecycle(deprecated=date(2026, 1, 1), sunset=date(2027, 1, 1), successor="/v2", guide="/migration")
OWN = Lifecycle(deprecated=datetime(2026, 6, 1, 12, 30, tzinfo=UTC))
OLD = Route(method="GET", path="/v1/things", lifecycle=LIFECYCLE)
NEW = Route(method="GET", path="/v2/things")
OTHER = Route(method="GET", path="/health/live")
VERSIONS = {"/v1": LIFECYCLE, "/v2": None}


async def receive() -> dict[str, object]:
    raise NotImplementedError


def request(route: Route | None, caller: object = None) -> RequestContext:
    context = new_context({"method": "GET", "path": "/", "headers": []}, receive)
    context.route, context.caller = route, caller
    return context


def samples(hook: ApiUsage, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for family in hook.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_without_versions_and_lifecycles_nothing_is_counted() -> None:
    assert not ApiUsage([OTHER], {}).is_needed
    assert ApiUsage([NEW], {"/v2": None}).is_needed
    assert ApiUsage([OLD], {}).is_needed


def test_calls_are_counted_by_version_and_by_kind_of_client_and_machine_clients_by_id() -> None:
    """A user id must not become a label: there may be millions."""
    hook = ApiUsage([OLD, NEW, OTHER], VERSIONS)
    machine = Actor(UUID(int=1), MACHINE, UUID(int=1), frozenset({"a"}))
    user = Actor(UUID(int=2), "user", UUID(int=3))
    key = Actor(UUID(int=2), "user", UUID(int=3), frozenset({"a"}))
    for caller in (machine, machine, user, key, None):
        hook.after(request(OLD, caller))
    for route in (NEW, OTHER, None):
        hook.after(request(route, user))
    identifier = str(machine.id)
    assert samples(hook, "restwell_api_requests_total") == {
        ("/v1", identifier): 2,
        ("/v1", "user"): 1,
        ("/v1", "api key"): 1,
        ("/v1", "anonymous"): 1,
        ("/v2", "user"): 1,
    }
    assert samples(hook, "restwell_deprecated_requests_total") == {
        ("GET", "/v1/things", identifier): 2,
        ("GET", "/v1/things", "user"): 1,
        ("GET", "/v1/things", "api key"): 1,
        ("GET", "/v1/things", "anonymous"): 1,
    }


def test_the_dates_are_those_of_versions_and_of_routes_that_end_earlier() -> None:
    """Fails if each route of a deprecated version is listed too."""
    earlier = Route(method="POST", path="/v1/things", lifecycle=OWN)
    hook = ApiUsage([OLD, earlier, NEW, Route(method="GET", path="/old", lifecycle=OWN)], VERSIONS)
    assert samples(hook, "restwell_api_deprecation_info").keys() == {
        ("", "/v1", "2026-01-01", "2027-01-01", "/v2", "/migration"),
        ("POST", "/v1/things", "2026-06-01 12:30:00", "", "", ""),
        ("GET", "/old", "2026-06-01 12:30:00", "", "", ""),
    }


def test_the_number_of_counted_clients_has_a_limit() -> None:
    hook = ApiUsage([OLD], VERSIONS)
    for number in range(_api_usage.MAX_COUNTED + 2):
        hook.after(request(OLD, SimpleNamespace(is_machine=True, id=number)))
    for name, others in (("restwell_api_requests_total", 2), ("restwell_deprecated_requests_total", 3)):
        counted = samples(hook, name)
        assert (len(counted), counted[("",) * others]) == (_api_usage.MAX_COUNTED + 1, 2)
