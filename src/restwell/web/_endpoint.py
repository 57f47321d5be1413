"""Compiles the declared routes of an application, once, into the records that everything else reads."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, Struct, UnsetType

from restwell._api_version import ApiVersion
from restwell.database._query import known_queries
from restwell.edge._lifecycle import Lifecycle
from restwell.edge._route import Route
from restwell.errors import AppError, ErrorFormat
from restwell.pages import Page
from restwell.rate_limits import Rate
from restwell.web._caching import Public
from restwell.web._declarations import Controller, Declaration, Feature, Guard, Handler, Part, Version, declaration_of
from restwell.web._guards import is_kit_guard, optional_sign_in
from restwell.web._parameters import FindService, Parameters, infer_parameters
from restwell.web._request import JSON, AuthScheme
from restwell.web._responses import Response, Stream
from restwell.web._version_schemas import VersionSchemas

_UNVERSIONED: Final = Version("", [])
_WITHOUT_BODY: Final = frozenset({204, 304})
_path_parameters: Final = re.compile(r"\{(\w+)\}").findall
_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"


class Endpoint(Route, frozen=True, kw_only=True):
    """A route of the application with its handler.

    ``handler`` takes the values of ``parameters``; its services are bound. ``returns``: the types of its result, of
    which several are alternatives; empty if it returns none. ``declared_rate``: UNSET for the default rates.
    ``page``: the type of its pages, if it is not Page. ``may_be_none``: whether its handler declares None.
    """

    name: str
    doc: str
    handler: Callable[..., Awaitable[Any]]
    parameters: Parameters
    guards: tuple[Guard, ...]
    raises: tuple[type[AppError], ...]
    idempotent: bool
    declared_rate: Rate | UnsetType | None
    status_code: int
    other_responses: Mapping[int, str]
    media_type: str
    max_body_bytes: int
    tags: tuple[str, ...]
    include_in_schema: bool
    returns: tuple[Any, ...]
    may_be_none: bool
    is_page: bool
    page: type[Struct] | None
    auth: AuthScheme | None
    errors: ErrorFormat
    version: ApiVersion


class Defaults(Struct, frozen=True, kw_only=True):
    """What routes have without a declaration of their own. ``types``: the concrete types of declared ones."""

    max_body_bytes: int
    auth: AuthScheme | None
    errors: ErrorFormat
    types: Mapping[type, type] = {}


def compile_endpoints(parts: Iterable[Part | Version], find_service: FindService, defaults: Defaults) -> list[Endpoint]:
    """Compile every route. Raises TypeError for a wrong declaration, naming the route and the fix."""
    schemas: dict[str, VersionSchemas] = {}
    endpoints = []
    for version, controller, handler, declaration in _handlers(parts, _UNVERSIONED):
        if version.prefix not in schemas:
            schemas[version.prefix] = VersionSchemas(version, defaults.types)
        own = schemas[version.prefix]
        endpoints.append(_compile(declaration, handler, version, own, controller, find_service, defaults))
    for each in schemas.values():
        each.check_usage()
    return endpoints


def compile_handlers(
    parts: Iterable[Part | Version], wanted: Sequence[Handler | str], find_service: FindService, defaults: Defaults
) -> list[Endpoint]:
    """The endpoint of each handler, as routes without a version have it, for another protocol than REST.

    A name is that of a route's handler. Raises TypeError for a handler of no route, or of several controllers.
    """
    served: dict[tuple[type[Controller], Handler], tuple[Handler, Declaration]] = {}
    for _, controller, handler, declaration in _handlers(parts, _UNVERSIONED):
        served[controller, getattr(handler, "__func__", handler)] = handler, declaration
    schemas = VersionSchemas(_UNVERSIONED, defaults.types)
    return [
        _compile(declaration, handler, _UNVERSIONED, schemas, controller, find_service, defaults)
        for controller, handler, declaration in (_find_handler(served, each) for each in wanted)
    ]


def _find_handler(
    served: Mapping[tuple[type[Controller], Handler], tuple[Handler, Declaration]], wanted: Handler | str
) -> tuple[type[Controller], Handler, Declaration]:
    found = [
        (controller, *entry)
        for (controller, function), entry in served.items()
        if (function.__name__ == wanted if isinstance(wanted, str) else function is wanted)
    ]
    if len(found) == 1:
        return found[0]
    name = wanted if isinstance(wanted, str) else wanted.__qualname__
    if found:
        names = " and ".join(controller.__name__ for controller, *_ in found)
        raise TypeError(f"{name} is a handler of {names}: rename one, or write a function with @get of its own")
    declaration = declaration_of(wanted)
    if isinstance(wanted, str) or declaration is None or wanted.__qualname__ != wanted.__name__:
        raise TypeError(f"{name} is a handler of no route: serve its controller, or write a function with @get")
    return Controller, wanted, declaration


def _handlers(
    parts: Iterable[Part | Version], version: Version
) -> Iterator[tuple[Version, type[Controller], Handler, Declaration]]:
    for part in parts:
        if isinstance(part, Version):
            yield from _handlers(part.parts, part)
        elif isinstance(part, Feature):
            yield from _handlers(part.controllers, version)
        elif isinstance(part, type) and issubclass(part, Controller):
            controller = part()
            for name in _names(part):
                handler = getattr(controller, name)
                declaration = declaration_of(handler)
                if declaration is not None:
                    yield version, part, handler, declaration
        else:
            declaration = declaration_of(part)
            if declaration is None or isinstance(part, type):
                hint = f": pass the class {type(part).__name__} itself" if Controller in type(part).__mro__ else ""
                raise TypeError(f"{part!r} is not a Feature, a Controller or a handler with @get, @post ...{hint}")
            yield version, Controller, part, declaration


def _names(controller: type[Controller]) -> Iterable[str]:
    """The attributes of a controller in the order of their definition, those of base classes first."""
    return dict.fromkeys(name for base in reversed(controller.__mro__) for name in vars(base))


def _compile(
    declaration: Declaration,
    handler: Handler,
    version: Version,
    schemas: VersionSchemas,
    controller: type[Controller],
    find_service: FindService,
    defaults: Defaults,
) -> Endpoint:
    path = (version.prefix + controller.path + declaration.path).rstrip("/") or "/"
    guards = (*controller.guards, *declaration.guards)
    name = handler.__name__
    try:
        types = {**defaults.types, **schemas.request_types}
        parameters = infer_parameters(handler, declaration.method, _path_parameters(path), find_service, types)
        hints = get_type_hints(handler)
        annotation = schemas.of_result(hints.get("return", UNSET))
        annotation = _checked(declaration, parameters, guards, annotation, defaults)
        lifecycle = _lifecycle_of(declaration, version)
        if parameters.optional_actor:
            guards = (optional_sign_in, *guards)
    except TypeError as error:
        raise TypeError(f"{handler.__qualname__} ({declaration.method} {path}) {error}") from None
    returns = _returned(annotation)
    return Endpoint(
        method=declaration.method,
        path=path,
        path_types=parameters.path,
        rate=declaration.rate_limit,
        has_guards=bool(guards),
        timeout_seconds=declaration.timeout_seconds,
        query_budget=declaration.query_budget,
        cache=declaration.cache.policy(parameters.filters) if declaration.cache is not None else None,
        name=name,
        doc=inspect.cleandoc(handler.__doc__ or name),
        handler=schemas.wrap(_bound(handler, parameters), hints),
        parameters=parameters,
        guards=guards,
        raises=tuple(declaration.raises),
        idempotent=declaration.idempotent,
        declared_rate=declaration.rate_limit,
        status_code=declaration.status_code or _default_status(declaration.method, returns, annotation),
        other_responses=declaration.other_responses,
        media_type=declaration.media_type or _default_media_type(returns),
        max_body_bytes=declaration.max_body_bytes or defaults.max_body_bytes,
        tags=tuple(declaration.tags or controller.tags),
        include_in_schema=declaration.include_in_schema,
        returns=returns,
        may_be_none=_may_be_none(annotation),
        is_page=any(get_origin(each) in {Page, version.page or Page} for each in returns),
        page=version.page,
        auth=defaults.auth,
        errors=controller.error_format or defaults.errors,
        lifecycle=lifecycle,
        version=schemas.version,
    )


def _lifecycle_of(declaration: Declaration, version: Version) -> Lifecycle | None:
    """The lifecycle of a route: its own, or that of its version. Raises TypeError if the own one ends later."""
    own, common = declaration.lifecycle, version.lifecycle
    if own is None or common is None:
        return own or common
    if common.sunset_at is not None and (own.sunset_at is None or own.sunset_at > common.sunset_at):
        raise TypeError(f"ends after {version.prefix}: set its sunset to {common.sunset} at the latest")
    return own


def _checked(
    declaration: Declaration, parameters: Parameters, guards: Sequence[Guard], annotation: Any, defaults: Defaults
) -> Any:
    """The return type. Raises TypeError if parts of the declaration do not fit together."""
    faults = list(_faults(declaration, parameters, guards, annotation, defaults))
    if faults:
        raise TypeError("; and ".join(faults))
    return annotation


def _faults(
    declaration: Declaration, parameters: Parameters, guards: Sequence[Guard], annotation: Any, defaults: Defaults
) -> Iterator[str]:
    """What does not fit together."""
    authenticates = any(map(is_kit_guard, guards))
    yield from _authentication_faults(parameters, defaults, authenticates=authenticates)
    if declaration.idempotent:
        yield from _idempotency_faults(parameters, annotation, authenticates=authenticates)
    if declaration.cache is not None:
        yield from _cache_faults(declaration, declaration.cache, parameters, guards)
    for name in sorted(declaration.query_budget.keys() - known_queries):
        similar = get_close_matches(name, known_queries, n=1)
        hint = f"did you mean {similar[0]}?" if similar else "write the name of a query"
        yield f"has a query_budget for {name}, which is no query: {hint}"
    if annotation is UNSET:
        yield "has no return type: annotate it"
    elif declaration.status_code in _WITHOUT_BODY and _returned(annotation):
        yield f"returns a body, which a {declaration.status_code} has not: annotate it as None"


def _authentication_faults(parameters: Parameters, defaults: Defaults, *, authenticates: bool) -> Iterator[str]:
    if (authenticates or parameters.optional_actor) and defaults.auth is None:
        yield "authenticates, and the application has no authentication: pass authenticate= to kit.app"
    if parameters.optional_actor and authenticates:
        yield "takes actor as Actor | None, but a guard of the route requires one: annotate it as Actor"
    if parameters.actor and not authenticates:
        yield (
            "takes actor, but no guard of the route authenticates: add guards=[signed_in], signed_in_or_scope(...) or "
            "requires_role(...) before custom guards, or annotate it as Actor | None"
        )


def _cache_faults(
    declaration: Declaration, cache: Public, parameters: Parameters, guards: Sequence[Guard]
) -> Iterator[str]:
    if guards or declaration.method != "GET":
        yield "cannot be cached: it has guards, or another method than GET; remove cache= or the guards"
    if parameters.optional_actor:
        yield "cannot be cached: its response depends on the actor; remove cache= or actor"
    unknown = cache.placeholders() - parameters.path.keys() - _fields(parameters)
    if unknown:
        yield f"has cache tags with {' and '.join(sorted(unknown))}, which are no path or query parameters"


def _idempotency_faults(parameters: Parameters, annotation: Any, *, authenticates: bool) -> Iterator[str]:
    if not authenticates:
        yield "is idempotent and needs a guard that authenticates, such as signed_in"
    if parameters.upload or parameters.form is not None:
        yield "is idempotent: only JSON bodies (data) are supported"
    if any(get_origin(arm) is Stream for arm in _arms(annotation)):
        yield "is idempotent: a Stream cannot be stored"


def _fields(parameters: Parameters) -> set[str]:
    return set(parameters.filters.__struct_fields__) if parameters.filters is not None else set()


def _bound(handler: Handler, parameters: Parameters) -> Handler:
    """The handler with its services, and with query parameters that it takes one by one."""
    bound: Handler = partial(handler, **parameters.services) if parameters.services else handler
    names = parameters.scalars
    if not names:
        return bound

    async def with_query_parameters(*, filters: Struct, **values: Any) -> Any:
        return await bound(**values, **{name: getattr(filters, name) for name in names})

    return with_query_parameters


def _returned(annotation: Any) -> tuple[Any, ...]:
    """The body types of the successful response: ``Response[Product | None]`` has a Product."""
    kinds: list[Any] = []
    for arm in _arms(annotation):
        if _is_wrapped(arm):
            kinds += _arms(get_args(arm)[0])
        else:
            kinds.append(arm)
    return tuple(dict.fromkeys(each for each in kinds if each is not type(None)))


def _may_be_none(annotation: Any) -> bool:
    arms = [each for arm in _arms(annotation) for each in (_arms(get_args(arm)[0]) if _is_wrapped(arm) else (arm,))]
    return not {type(None), Any, object}.isdisjoint(arms)


def _is_wrapped(arm: Any) -> bool:
    return get_origin(arm) in {Response, Stream}


def _arms(annotation: Any) -> Sequence[Any]:
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return get_args(annotation)
    return (type(None) if annotation is None else annotation,)


def _default_status(method: str, returns: Sequence[Any], annotation: Any) -> int:
    if not returns and (annotation in {None, type(None)} or method == "DELETE"):
        return 204
    return 201 if method == "POST" else 200


def _default_media_type(returns: Sequence[Any]) -> str:
    if returns == (str,):
        return _TEXT
    return _BYTES if returns == (bytes,) else JSON
