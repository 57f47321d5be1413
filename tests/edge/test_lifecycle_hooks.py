"""The hooks of the end of versions; ``tests/test_app_versions.py`` runs them in an application."""

from datetime import date

from restwell.edge._context import RequestContext, new_context
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._lifecycle_hooks import Lifecycles
from restwell.edge._route import Route

LIFECYCLE = Lifecycle(deprecated=date(2026, 1, 1))
ROUTE = Route(method="GET", path="/v1/things", lifecycle=LIFECYCLE)


async def receive() -> dict[str, object]:
    raise NotImplementedError


def request(path: str) -> RequestContext:
    return new_context({"method": "GET", "path": path, "headers": []}, receive)


def test_without_a_lifecycle_no_hook_is_needed() -> None:
    assert not Lifecycles([Route(method="GET", path="/")], {}).is_needed
    assert Lifecycles([ROUTE], {}).is_needed
    assert Lifecycles([], {"/v1": LIFECYCLE}).is_needed


def test_a_request_without_a_route_belongs_to_the_version_of_its_path() -> None:
    hooks = Lifecycles([], {"/v1": LIFECYCLE, "/v2": None})
    found = [hooks.find(request(path)) is not None for path in ("/v1", "/v1/", "/v1/x/y", "/v10", "/v2", "/")]
    assert found == [True, True, True, False, False, False]
