"""Validates the declarations of routes when the application is built, before any request can fail on them."""

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
from restwell.web._caching import Public
from restwell.web._formats import ambiguous_formats
from restwell.web._forms import read_form
from restwell.web._guards import authenticates, current_actor
from restwell.web._literals import text_parsers
from restwell.web._request import read_filters
from restwell.web._uploads import Upload, read_upload

_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_PATH_TYPES: Final = frozenset({UUID, int, str})
_BODY_PARAMETERS: Final = ("data", "form", "upload")
_ACTOR_HINT: Final = (
    "takes actor, but no guard of the route authenticates: add guards=[signed_in], signed_in_or_scope(...) or "
    "requires_role(...) before custom guards"
)


def check_routes(app: Litestar) -> None:
    """Raises TypeError for a route with an invalid declaration. It names the route, its faults and the fixes."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            is_declared = handler.http_methods != {"OPTIONS"}
            faults = (
                [*_option_faults(handler), *_injection_faults(handler), *_parameter_faults(route, handler)]
                if is_declared
                else []
            )
            if faults:
                where = f"{' '.join(sorted(handler.http_methods - {'OPTIONS'}))} {route.path_format}"
                raise TypeError(f"{handler.handler_name} ({where}) {'; and '.join(faults)}")


def _option_faults(handler: HTTPRouteHandler) -> list[str]:
    faults = []
    for name, value in handler.opt.items():
        known = _OPTIONS.get(name)
        if known is None:
            similar = get_close_matches(name, _OPTIONS, n=1)
            hint = f"did you mean {similar[0]}?" if similar else f"available: {', '.join(_OPTIONS)}."
            faults.append(f"has no option {name}: {hint} Configure a custom guard with arguments of the guard itself")
        elif not known[0](value):
            faults.append(f"needs {known[1]} as {name}, not {value!r}")
    header = handler.opt.get("requires_header")
    if header is not None and header not in _headers(handler):
        faults.append(f"requires the header {header}, which is not among its parameters: {_headers(handler)}")
    return faults


def _injection_faults(handler: HTTPRouteHandler) -> list[str]:
    parameters = handler.parsed_fn_signature.parameters
    dependencies = handler.resolve_dependencies()
    injected = {name for name, of in _INJECTED.items() if name in dependencies and dependencies[name].dependency is of}
    kinds = {name: parameters[name].annotation for name in parameters if name in injected}
    faults = []
    if "actor" in kinds and kinds["actor"] is not Actor:
        faults.append("takes actor: annotate it as Inject[Actor]")
    elif "actor" in kinds and not authenticates(handler):
        faults.append(_ACTOR_HINT)
    faults += [
        f"takes {name}: annotate it as Inject[...] of a msgspec Struct"
        for name in ("filters", "form")
        if name in kinds and not (isinstance(kinds[name], type) and issubclass(kinds[name], Struct))
    ]
    if "upload" in kinds and kinds["upload"] is not Upload:
        faults.append("takes upload: annotate it as Inject[Upload]")
    bodies = [name for name in _BODY_PARAMETERS if name in parameters and (name == "data" or name in kinds)]
    if len(bodies) > 1:
        faults.append(f"takes {' and '.join(bodies)}: a request has one body")
    if bodies and not _METHODS_WITH_BODY.issuperset(handler.http_methods):
        faults.append(f"takes {bodies[0]}: only POST, PUT and PATCH have a body")
    return faults


def _parameter_faults(route: HTTPRoute, handler: HTTPRouteHandler) -> Iterator[str]:
    """Reject parameters that the framework would parse, or that OpenAPI cannot describe.

    The framework accepts ``1.0``, `` 1`` and ``1e1`` as an integer and ``null`` as a missing value.
    """
    for name, declared in route.path_parameters.items():
        if declared.type not in _PATH_TYPES:
            yield f"has the path parameter {name} of the type {declared.type.__name__}: use uuid, int or str"
    for name, field in {**handler.resolve_layered_parameters(), **_request_parameters(handler)}.items():
        definition = field.kwarg_definition
        if name in route.path_parameters:
            kind = route.path_parameters[name].type
            if field.annotation is not kind or _is_constrained(field):
                yield (
                    f"takes the path parameter {name}: annotate it as FromPath[{kind.__name__}], and check constraints "
                    "in the handler"
                )
        elif isinstance(definition, HeaderParameter):
            is_text = field.annotation in {str, str | None} and definition.name is not None and field.has_default
            if not is_text or _is_constrained(field):
                yield (
                    f'takes {name}: annotate it as Annotated[str | None, HeaderParameter(name="X-Name")] = None, and '
                    "check constraints in the handler"
                )
        elif isinstance(definition, CookieParameter):
            yield f"takes {name}: take request: ApiRequest and read request.cookies"
        else:
            yield f"takes {name}: make it a field of a msgspec Struct, and take the Struct as filters: Inject[...]"
    for name in ("data", "form", "filters"):
        yield from (f"takes {name}: {fault}" for fault in _type_faults(handler, name))


def _request_parameters(handler: HTTPRouteHandler) -> dict[str, FieldDefinition]:
    """Parameters of the handler and its dependencies that come from path, query, headers or cookies."""
    providers, parameters = handler.resolve_dependencies(), {}
    pending = [handler.parsed_fn_signature]
    seen = set(RESERVED_KWARGS)
    while pending:
        for name, field in pending.pop().parameters.items():
            if name in providers and name not in seen:
                pending.append(providers[name].parsed_fn_signature)
            elif name not in seen:
                parameters[name] = field
            seen.add(name)
    return parameters


def _type_faults(handler: HTTPRouteHandler, name: str) -> Iterator[str]:
    """Faults of the type of a body or filter: unsupported or ambiguous types."""
    field = handler.parsed_fn_signature.parameters.get(name)
    if field is None:
        return
    kind, definition = field.annotation, field.kwarg_definition
    if name == "data":
        if handler.resolve_data_dto() is not None:
            yield "DTOs are not supported: annotate it as JSONBody[...] of the input type"
        if isinstance(definition, BodyKwarg) and definition.media_type != RequestEncodingType.JSON:
            yield f"{definition.media_type} is not supported: take JSONBody[...], a form as form, or a file as upload"
        if _is_constrained(field):
            yield "its constraints are outside the type: use Annotated[..., Meta(max_length=1)]"
        yield from ambiguous_formats(kind)
    elif isinstance(kind, type) and issubclass(kind, Struct):  # otherwise reported by _injection_faults
        try:
            text_parsers(kind)
        except TypeError as error:
            yield str(error)
        else:
            yield from ambiguous_formats(kind)


def _is_constrained(field: FieldDefinition) -> bool:
    return isinstance(field.kwarg_definition, KwargDefinition) and field.kwarg_definition.is_constrained


def _headers(handler: HTTPRouteHandler) -> list[str]:
    definitions = (field.kwarg_definition for field in handler.parsed_fn_signature.parameters.values())
    return [each.name for each in definitions if isinstance(each, HeaderParameter) and each.name is not None]


def _is_errors(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(each, type) and issubclass(each, AppError) for each in value)


def _maps(key: type, value: type) -> Callable[[Any], bool]:
    return lambda mapping: (
        isinstance(mapping, Mapping)
        and all(isinstance(name, key) and isinstance(item, value) for name, item in mapping.items())
    )


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_INJECTED: Final[Mapping[str, Callable[..., Any]]] = {
    "actor": current_actor,
    "filters": read_filters,
    "form": read_form,
    "upload": read_upload,
}
_OPTIONS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "cached": (lambda value: isinstance(value, Public), "the result of public(...)"),
    "errors": (_is_errors, "a list of subclasses of AppError"),
    "rate_limit": (lambda value: value is None or isinstance(value, Rate), "a Rate, or None"),
    "query_budget": (_maps(str, int), "a mapping of query names to maximum counts"),
    "requires_header": (_is_text, "the name of a header"),
    "timeout_seconds": (_is_seconds, "a number of seconds above 0"),
}
