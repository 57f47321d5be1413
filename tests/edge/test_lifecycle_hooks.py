"""The hooks of the end of versions; ``tests/test_app_versions.py`` runs them in an application."""

from datetime import date
from types import SimpleNamespace
from uuid import UUID

from restwell.auth import MACHINE, Actor
from restwell.edge import _lifecycle_hooks
from restwell.edge._context import RequestContext, new_context
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._lifecycle_hooks import Lifecycles
from restwell.edge._route import Route

LIFECYCLE = Lifecycle(deprecated=date(2026, 1, 1))
ROUTE = Route(method="GET", path="/v1/things", lifecycle=LIFECYCLE)


async def receive() -> dict[str, object]:
    raise NotImplementedError


def request(path: str = "/v1/things", caller: object = None, route: Route | None = ROUTE) -> RequestContext:
    context = new_context({"method": "GET", "path": path, "headers": []}, receive)
    context.route, context.caller = route, caller
    return context


def counts(hooks: Lifecycles) -> dict[tuple[str, str], float]:
    (family,) = hooks.collect()
    return {(sample.labels["route"], sample.labels["client"]): sample.value for sample in family.samples}


def test_without_a_lifecycle_no_hook_is_needed() -> None:
    assert not Lifecycles([Route(method="GET", path="/")], {}).is_needed
    assert Lifecycles([ROUTE], {}).is_needed
    assert Lifecycles([], {"/v1": LIFECYCLE}).is_needed


def test_clients_are_counted_by_kind_and_machine_clients_by_id() -> None:
    """A user id must not become a label: there may be millions."""
    hooks = Lifecycles([ROUTE], {})
    machine = Actor(UUID(int=1), MACHINE, UUID(int=1), frozenset({"a"}))
    user = Actor(UUID(int=2), "user", UUID(int=3))
    key = Actor(UUID(int=2), "user", UUID(int=3), frozenset({"a"}))
    for caller in (machine, machine, user, key, None):
        hooks.after(request(caller=caller))
    hooks.after(request(route=Route(method="GET", path="/other")))
    assert counts(hooks) == {
        ("/v1/things", str(machine.id)): 2,
        ("/v1/things", "user"): 1,
        ("/v1/things", "api key"): 1,
        ("/v1/things", "anonymous"): 1,
    }


def test_the_number_of_counted_clients_has_a_limit() -> None:
    hooks = Lifecycles([ROUTE], {})
    for number in range(_lifecycle_hooks.MAX_COUNTED + 2):
        hooks.after(request(caller=SimpleNamespace(is_machine=True, id=number)))
    counted = counts(hooks)
    assert len(counted) == _lifecycle_hooks.MAX_COUNTED + 1
    assert counted["", ""] == 2


def test_a_request_without_a_route_belongs_to_the_version_of_its_path() -> None:
    hooks = Lifecycles([], {"/v1": LIFECYCLE})
    found = [hooks.find(request(path, route=None)) is not None for path in ("/v1", "/v1/", "/v1/x/y", "/v10", "/")]
    assert found == [True, True, True, False, False]
