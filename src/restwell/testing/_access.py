"""Checks who may call each route of an application."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Final, NamedTuple
from uuid import UUID

from msgspec.structs import replace

from restwell._application import App
from restwell._extras import needs_extra
from restwell.edge._context import SCOPE_KEY, AsgiApp, Receive, Scope, Send, new_context
from restwell.edge._router import Router
from restwell.errors import AppError
from restwell.testing._access_rules import AccessRule
from restwell.testing._api_client import ApiClient
from restwell.testing._running import BASE_URL
from restwell.web import Request
from restwell.web._endpoint import Endpoint
from restwell.web._transports import ListeningTransport

with needs_extra("testing", "restwell.testing"):
    import httpx

ADMITTED: Final = 204
_OPERATIONAL: Final = {f"restwell.web._{name}" for name in ("docs", "health", "well_known")}
_SAMPLES: Final[Mapping[type, str]] = {UUID: str(UUID(int=2**128 - 1)), int: "987654321987654321", str: "unknown"}


class Caller:
    """A kind of caller: a user with ``role``, a machine client with ``scopes``, or an API key with both.

    A caller with neither has credentials that are no longer valid, as an expired token; ``name`` says why.
    """

    def __init__(
        self, client: ApiClient, *, role: str | None = None, scopes: Collection[str] | None = None, name: str = ""
    ) -> None:
        self.client = client
        self.role = role
        self.scopes = None if scopes is None else frozenset(scopes)
        self.name = name or self._description()

    @property
    def is_valid(self) -> bool:
        return self.role is not None or self.scopes is not None

    @property
    def is_anonymous(self) -> bool:
        return not (self.is_valid or self.client.tokens or self.client.cookies)

    def _description(self) -> str:
        if self.scopes is None:
            return self.role or "invalid token"
        kind = "machine" if self.role is None else f"API key of {self.role}"
        return f"{kind} {'with ' + ' '.join(sorted(self.scopes)) if self.scopes else 'without scope'}"


def access_table(app: App) -> str:
    """Who passes the guards of each route: one line for each, as ``check_access`` takes them.

    The routes that the kit adds to every application, such as ``/health/live``, are left out.
    """
    return _lines_of(_entries_of(app))


async def check_access(
    app: App, table: str, callers: Iterable[Caller], *, ids: Mapping[str, object] | None = None
) -> None:
    """Check that exactly the callers of ``table`` may call each route. The app must be running.

    A line of the table is a method, a path, and who may call it: ``anyone``, ``optional sign-in``, ``signed in``,
    roles, ``scope x`` for machine clients and API keys, ``key scope x`` for API keys only, with commas between, or
    ``no caller``. What GraphQL offers has QUERY, MUTATION, SUBSCRIPTION or FIELD, and
    its name; a method of gRPC has RPC. Copy the first table from the message
    of the first failure, and read it.

    A refused request is sent, and must be a 401 or a 403. For an admitted one only the guards run, so it changes
    nothing. ``ids`` are values of path parameters for own guards that read them. Requests without credentials and with
    an invalid token are always checked.

    Raises AssertionError with a line for each difference.
    """
    rules, faults = _parse(table)
    entries = _entries_of(app)
    faults += [(*key, "", "no such route") for key in rules.keys() - entries.keys()]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client:
        callers = [Caller(ApiClient(client), name="anonymous"), Caller(ApiClient(client, "invalid")), *callers]
        faults += _missing_callers(rules.values(), callers)
        for key, entry in entries.items():
            if key in rules:
                found = _differences(entry, rules[key], callers, ids or {})
                faults += [(*key, *fault) async for fault in found]
            else:
                faults.append((*key, "", "is not in the table"))
    if faults:
        routes = {fault[:2] for fault in faults}
        now = _lines_of({key: entry for key, entry in entries.items() if key in routes})
        advice = f"\nThe guards of these routes admit:\n{now}" if now else ""
        raise AssertionError(f"{len(faults)} differences from the access table:\n{lines(faults)}{advice}")


def sample_path(endpoint: Endpoint, ids: Mapping[str, object]) -> str:
    """The path with these ids, and with unknown ones for the other parameters."""
    values = {name: str(ids.get(name, _SAMPLES[kind])) for name, kind in endpoint.path_types.items()}
    return endpoint.path.format_map(values)


async def guard_status(endpoint: Endpoint, caller: ApiClient, path: str) -> int:
    """The status of the error that a guard of the route raises for this caller. 204 if all guards pass."""

    async def run_guards(scope: Scope, receive: Receive, send: Send) -> None:
        context = new_context(scope, receive)
        match = Router([endpoint]).find(endpoint.method, path)
        if match is None:
            raise ValueError(f"{path} is no path of {endpoint.path}: give other ids")
        context.route, context.path_parameters = match
        scope[SCOPE_KEY] = context
        request = Request(scope, receive, context, max_body_bytes=endpoint.max_body_bytes, auth=endpoint.auth)
        status = ADMITTED
        try:
            for guard in endpoint.guards:
                await guard(request)
        except AppError as error:
            status = error.status
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    probe = copy(caller)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(run_guards), base_url=BASE_URL) as probe.client:
        return (await probe.send(endpoint.method, path)).status_code


class _Entry(NamedTuple):
    """What a line of the table is about. ``body``: of the request that calls it; None for a route.

    ``app``: what takes its calls, if that is not the application.
    """

    endpoint: Endpoint
    body: object = None
    app: AsgiApp | None = None


def _entries_of(app: App) -> dict[tuple[str, str], _Entry]:
    """The routes, and the operations of other transports: each is the route of its transport with its own guards."""
    entries = {(each.method, each.path): _Entry(each) for each in _routes_of(app)}
    for transport in app.transports:
        if isinstance(transport, ListeningTransport):
            entries |= {
                (each.kind, each.name): _Entry(transport.endpoint_of(each), app=transport.edge)
                for each in transport.operations
            }
            continue
        endpoint = next(each for each in app.routes if each.path == transport.path and each.method == "POST")
        for each in transport.operations:
            guarded = replace(endpoint, guards=each.guards)
            entries[each.kind, each.name] = _Entry(guarded, transport.sample(each))
    return entries


def _routes_of(app: App) -> list[Endpoint]:
    handlers = [getattr(endpoint.handler, "func", endpoint.handler) for endpoint in app.routes]
    return [
        endpoint
        for endpoint, handler in zip(app.routes, handlers, strict=True)
        if handler.__module__ not in _OPERATIONAL
    ]


def _parse(table: str) -> tuple[dict[tuple[str, str], AccessRule], list[tuple[str, ...]]]:
    rules: dict[tuple[str, str], AccessRule] = {}
    faults: list[tuple[str, ...]] = []
    for line in filter(None, map(str.strip, table.splitlines())):
        method, path, text = [*line.split(None, 2), "", ""][:3]
        try:
            rule = AccessRule.parse(text)
        except ValueError as error:
            faults.append((method, path, "", str(error)))
            continue
        if (method, path) in rules:
            faults.append((method, path, "", "has two lines"))
        if rule.own_guards:
            names = ", ".join(rule.own_guards)
            faults.append((method, path, "", f"what {names} does is unknown: write who passes it in the table"))
        rules[method, path] = rule
    return rules, faults


def _missing_callers(rules: Collection[AccessRule], callers: Sequence[Caller]) -> Iterator[tuple[str, ...]]:
    """What the table names and no caller has: it would not be checked."""
    users = {caller.role for caller in callers if caller.scopes is None}
    for role in sorted(set(chain.from_iterable(rule.roles or () for rule in rules)) - users):
        yield "", "", role, f"no caller is a user with the role {role}"
    with_scopes = [caller.scopes for caller in callers if caller.scopes is not None]
    for scope in sorted(set(chain.from_iterable(rule.key_scopes or () for rule in rules))):
        if not any(scope in scopes for scopes in with_scopes):
            yield "", "", f"scope {scope}", "no caller has this scope"
        if all(scope in scopes for scopes in with_scopes):
            yield "", "", f"scope {scope}", "no machine client or API key is without this scope"


async def _differences(
    entry: _Entry, rule: AccessRule, callers: Sequence[Caller], ids: Mapping[str, object]
) -> AsyncIterator[tuple[str, str]]:
    endpoint, body, app = entry
    if rule.own_guards or (rule.anonymous and not endpoint.guards):
        return
    path = sample_path(endpoint, ids)
    for caller in callers:
        await asyncio.sleep(0)  # a request that is refused may never wait, and thousands would block the event loop
        is_admitted = caller.is_valid and rule.admits(caller.role, caller.scopes)
        if is_admitted or rule.anonymous or (rule.optional and caller.is_anonymous):
            status = await guard_status(endpoint, caller.client, path)
            if status != ADMITTED:
                yield caller.name, f"{status} instead of access"
            continue
        status = await _status(app, endpoint, caller.client, path, body)
        expected = {401, 403} if rule.refuses_all else {403} if caller.is_valid else {401}
        if status not in expected:
            yield caller.name, f"{status} instead of {' or '.join(map(str, sorted(expected)))}"


async def _status(app: AsgiApp | None, endpoint: Endpoint, caller: ApiClient, path: str, body: object) -> int:
    if app is None:
        return (await caller.send(endpoint.method, path, body)).status_code
    probe = copy(caller)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as probe.client:
        return (await probe.send(endpoint.method, path)).status_code


def _lines_of(entries: Mapping[tuple[str, str], _Entry]) -> str:
    return lines((*key, str(AccessRule.of(entry.endpoint))) for key, entry in entries.items())


def lines(rows: Iterable[tuple[str, ...]]) -> str:
    """The rows with aligned columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
