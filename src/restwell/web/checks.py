"""What a route declares, checked when the application is built: what could only fail in a request does not start."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from uuid import UUID

from litestar import Litestar
from litestar.constants import RESERVED_KWARGS
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, CookieParameter, HeaderParameter, KwargDefinition
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition
from msgspec import Struct

from restwell.auth import Actor
from restwell.errors import AppError
from restwell.rate_limits import Rate
from restwell.web.caching import Public
from restwell.web.formats import undecided_in
from restwell.web.forms import read_form
from restwell.web.guards import authenticates, current_actor
from restwell.web.literals import readers_of
from restwell.web.request import read_filters
from restwell.web.uploads import Upload, read_upload

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_IN_PATHS: Final = frozenset({UUID, int, str})
_BODIES: Final = ("data", "form", "upload")
_ACTOR_CURE: Final = (
    "takes actor, and no guard of its route authenticates: add guards=[signed_in], signed_in_or_scope(...) or "
    "requires_role(...), before guards of your own"
)


def check_routes(app: Litestar) -> None:
    """Raises TypeError naming a route that declares what does not exist or cannot work, and the cure."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            is_ours = handler.http_methods != {"OPTIONS"}
            faults = [*_options(handler), *_parameters(handler), *_values(route, handler)] if is_ours else []
            if faults:
                where = f"{' '.join(sorted(handler.http_methods - {'OPTIONS'}))} {route.path_format}"
                raise TypeError(f"{handler.handler_name} ({where}) {'; and '.join(faults)}")


def _options(handler: HTTPRouteHandler) -> list[str]:
    faults = []
    for name, value in handler.opt.items():
        known = _OPTIONS.get(name)
        if known is None:
            likely = get_close_matches(name, _OPTIONS, n=1)
            hint = f"did you mean {likely[0]}?" if likely else f"there are {', '.join(_OPTIONS)}"
            faults.append(f"has no option {name}: {hint} What a guard of your own must know, give to the guard itself")
        elif not known[0](value):
            faults.append(f"needs as {name} {known[1]}, not {value!r}")
    header = handler.opt.get("requires_header")
    if header is not None and header not in _headers(handler):
        faults.append(f"requires the header {header}, which is none of its parameters: {_headers(handler)}")
    return faults


def _parameters(handler: HTTPRouteHandler) -> list[str]:
    parameters = handler.parsed_fn_signature.parameters
    dependencies = handler.resolve_dependencies()
    ours = {name for name, one in _OURS.items() if name in dependencies and dependencies[name].dependency is one}
    kinds = {name: parameters[name].annotation for name in parameters if name in ours}
    faults = []
    if "actor" in kinds and kinds["actor"] is not Actor:
        faults.append("takes actor: annotate it as Inject[Actor]")
    elif "actor" in kinds and not authenticates(handler):
        faults.append(_ACTOR_CURE)
    faults += [
        f"takes {name}: annotate it as Inject[...] of a msgspec Struct"
        for name in ("filters", "form")
        if name in kinds and not (isinstance(kinds[name], type) and issubclass(kinds[name], Struct))
    ]
    if "upload" in kinds and kinds["upload"] is not Upload:
        faults.append("takes upload: annotate it as Inject[Upload]")
    bodies = [name for name in _BODIES if name in parameters and (name == "data" or name in kinds)]
    if len(bodies) > 1:
        faults.append(f"takes {' and '.join(bodies)}: a request has one body")
    if bodies and not _WITH_BODY.issuperset(handler.http_methods):
        faults.append(f"takes {bodies[0]}: only POST, PUT and PATCH have a body")
    return faults


def _values(route: HTTPRoute, handler: HTTPRouteHandler) -> Iterator[str]:
    """What would be read by the framework, which takes ``1.0``, `` 1`` and ``1e1`` for an integer and ``null`` for nothing, or what OpenAPI
    could not tell.
    """
    for name, declared in route.path_parameters.items():
        if declared.type not in _IN_PATHS:
            yield f"has {name} in its path as {declared.type.__name__}: there are uuid, int and str"
    for name, field in {**handler.resolve_layered_parameters(), **_taken(handler)}.items():
        given = field.kwarg_definition
        if name in route.path_parameters:
            kind = route.path_parameters[name].type
            if field.annotation is not kind or _is_constrained(field):
                yield f"takes {name} of its path: annotate it as FromPath[{kind.__name__}], and check in the handler what else it must be"
        elif isinstance(given, HeaderParameter):
            is_text = field.annotation in {str, str | None} and given.name is not None and field.has_default
            if not is_text or _is_constrained(field):
                yield (
                    f'takes {name}: annotate it as Annotated[str | None, HeaderParameter(name="X-Name")] = None, and check in '
                    "the handler what else it must be"
                )
        elif isinstance(given, CookieParameter):
            yield f"takes {name}: take request: ApiRequest, and read request.cookies"
        else:
            yield f"takes {name}: make it a field of a msgspec Struct, and take that as filters: Inject[...]"
    for name in ("data", "form", "filters"):
        yield from (f"takes as {name} {fault}" for fault in _faults_of(handler, name))


def _taken(handler: HTTPRouteHandler) -> dict[str, FieldDefinition]:
    """The parameters of the handler and of its dependencies that are read from path, query, headers or cookies."""
    providers, found = handler.resolve_dependencies(), {}
    waiting = [handler.parsed_fn_signature]
    seen = set(RESERVED_KWARGS)
    while waiting:
        for name, field in waiting.pop().parameters.items():
            if name in providers and name not in seen:
                waiting.append(providers[name].parsed_fn_signature)
            elif name not in seen:
                found[name] = field
            seen.add(name)
    return found


def _faults_of(handler: HTTPRouteHandler, name: str) -> Iterator[str]:
    """What of its type could not be read, or in more than one way."""
    field = handler.parsed_fn_signature.parameters.get(name)
    if field is None:
        return
    kind, given = field.annotation, field.kwarg_definition
    if name == "data":
        if handler.resolve_data_dto() is not None:
            yield "what a DTO makes: annotate it as JSONBody[...] of what may be sent"
        if isinstance(given, BodyKwarg) and given.media_type != RequestEncodingType.JSON:
            yield f"{given.media_type}: take JSONBody[...], a form as form, or a file as upload"
        if _is_constrained(field):
            yield "what its type does not say: put limits into the type, as Annotated[..., Meta(max_length=1)]"
        yield from undecided_in(kind)
    elif isinstance(kind, type) and issubclass(kind, Struct):  # else it has been told already
        try:
            readers_of(kind)
        except TypeError as error:
            yield str(error)
        else:
            yield from undecided_in(kind)


def _is_constrained(field: FieldDefinition) -> bool:
    return isinstance(field.kwarg_definition, KwargDefinition) and field.kwarg_definition.is_constrained


def _headers(handler: HTTPRouteHandler) -> list[str]:
    definitions = (one.kwarg_definition for one in handler.parsed_fn_signature.parameters.values())
    return [one.name for one in definitions if isinstance(one, HeaderParameter) and one.name is not None]


def _is_errors(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, type) and issubclass(one, AppError) for one in value)


def _maps(key: type, value: type) -> Callable[[Any], bool]:
    return lambda given: (
        isinstance(given, Mapping)
        and all(isinstance(one, key) and isinstance(other, value) for one, other in given.items())
    )


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_OURS: Final[Mapping[str, Callable[..., Any]]] = {
    "actor": current_actor,
    "filters": read_filters,
    "form": read_form,
    "upload": read_upload,
}
_OPTIONS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "cached": (lambda value: isinstance(value, Public), "what public(...) returns"),
    "errors": (_is_errors, "a list of subclasses of AppError"),
    "rate_limit": (lambda value: value is None or isinstance(value, Rate), "a Rate, or None"),
    "query_budget": (_maps(str, int), "a mapping of names of queries to how often they may run"),
    "requires_header": (_is_text, "the name of a header"),
    "timeout_seconds": (_is_seconds, "a number of seconds above 0"),
}
