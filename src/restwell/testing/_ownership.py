"""Checks that no user reaches the objects of another."""

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

from restwell._application import App
from restwell.testing._access import ADMITTED, guard_status, lines, sample_path
from restwell.testing._api_client import ApiClient
from restwell.web._endpoint import Endpoint

_REJECTED_BODY = {400, 415, 422}
_NONE: Mapping[str, object] = MappingProxyType({})


async def check_ownership(
    app: App,
    objects: Mapping[str, object],
    *,
    owner: ApiClient,
    other: ApiClient,
    bodies: Mapping[str, object] = _NONE,
) -> None:
    """Check that ``other`` gets a 404 for each object of ``owner``, and finds its id in no list.

    ``objects`` has the id of an object of the owner by path parameter, as ``order_id``, or by the path up to it, as
    ``/v1/orders/{id}``. None for a parameter that names nothing of a user. Routes that ``other`` may not call, and
    those without guards, need none. ``bodies`` are valid bodies by method and path, as ``POST /v1/orders/{id}/notes``;
    a PATCH has ``{}``. GET requests of the owner must succeed, so that a wrong id is found.

    Raises AssertionError with a line for each difference. The app must be running.
    """
    faults: list[tuple[str, ...]] = []
    for endpoint in app.routes:
        if endpoint.guards and await guard_status(endpoint, other, sample_path(endpoint, {})) == ADMITTED:
            faults += [
                (endpoint.method, endpoint.path, fault)
                async for fault in _faults(endpoint, objects, owner, other, bodies)
            ]
    if faults:
        raise AssertionError(f"{len(faults)} objects are reached by another user, or not checked:\n{lines(faults)}")


async def _faults(
    endpoint: Endpoint,
    objects: Mapping[str, object],
    owner: ApiClient,
    other: ApiClient,
    bodies: Mapping[str, object],
) -> AsyncIterator[str]:
    method, path = endpoint.method, endpoint.path
    if not endpoint.path_types:
        if method == "GET":
            text = (await other.get(path)).text
            for name in [name for name, value in objects.items() if value is not None and str(value) in text]:
                yield f"has the object of the owner: {name}"
        return
    keys = {name: _key(name, path, objects) for name in endpoint.path_types}
    missing = [name for name, key in keys.items() if key is None]
    if missing:
        yield f"give {missing[0]} in objects: an id of the owner, or None"
        return
    values = {name: objects[key] for name, key in keys.items() if key is not None and objects[key] is not None}
    if not values:
        return
    path = sample_path(endpoint, values)
    if method == "GET" and (status := (await owner.get(path)).status_code) >= 400:
        yield f"the owner gets a {status}: are the ids of the owner's objects?"
    body = bodies.get(f"{method} {endpoint.path}", {} if method == "PATCH" else None)
    headers = {} if method == "GET" else {"if_match": "*"}
    status = (await other.send(method, path, body, **headers)).status_code
    if status in _REJECTED_BODY:
        yield f"{status} instead of 404: give a valid body in bodies"
    elif status != 404:
        yield f"{status} instead of 404"


def _key(name: str, path: str, objects: Mapping[str, object]) -> str | None:
    before, parameter, _ = path.partition(f"{{{name}}}")
    return next((key for key in (before + parameter, name) if key in objects), None)
