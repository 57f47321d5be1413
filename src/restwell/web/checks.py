"""What a route declares, checked when the application is built: what could only fail in a request does not start."""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter
from litestar.routes import HTTPRoute
from msgspec import Struct

from restwell.auth import Actor
from restwell.errors import AppError
from restwell.limits import Rate
from restwell.web.caching import Public
from restwell.web.forms import read_form
from restwell.web.guards import authenticates, current_actor
from restwell.web.request import read_filters
from restwell.web.uploads import Upload, read_upload

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_BODIES: Final = ("data", "form", "upload")
_ACTOR_CURE: Final = (
    "takes actor, and no guard of its route authenticates: add guards=[signed_in], signed_in_or_scope(...) or "
    "requires_role(...), before guards of your own"
)


def check_routes(app: Litestar) -> None:
    """Raises TypeError naming a route that declares what does not exist or cannot work, and the cure."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            faults = [*_options(handler), *_parameters(handler)] if handler.http_methods != {"OPTIONS"} else []
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
        faults.append("takes actor: annotate it as Provided[Actor]")
    elif "actor" in kinds and not authenticates(handler):
        faults.append(_ACTOR_CURE)
    faults += [
        f"takes {name}: annotate it as Provided[...] of a msgspec Struct"
        for name in ("filters", "form")
        if name in kinds and not (isinstance(kinds[name], type) and issubclass(kinds[name], Struct))
    ]
    if "upload" in kinds and kinds["upload"] is not Upload:
        faults.append("takes upload: annotate it as Provided[Upload]")
    bodies = [name for name in _BODIES if name in parameters and (name == "data" or name in kinds)]
    if len(bodies) > 1:
        faults.append(f"takes {' and '.join(bodies)}: a request has one body")
    if bodies and not _WITH_BODY.issuperset(handler.http_methods):
        faults.append(f"takes {bodies[0]}: only POST, PUT and PATCH have a body")
    return faults


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
    "also": (_maps(int, str), "a mapping of status codes to their description"),
    "cached": (lambda value: isinstance(value, Public), "what public(...) returns"),
    "errors": (_is_errors, "a list of subclasses of AppError"),
    "produces": (_is_text, "a media type"),
    "rate_limit": (lambda value: value is None or isinstance(value, Rate), "a Rate, or None"),
    "repeats": (_maps(str, int), "a mapping of names of queries to how often they may run"),
    "requires_header": (_is_text, "the name of a header"),
    "timeout_seconds": (_is_seconds, "a number of seconds above 0"),
}
