"""The parameters of a handler: where each value comes from, inferred from its name and type."""

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import count
from operator import attrgetter
from types import MappingProxyType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints
from uuid import UUID

from msgspec import Struct, defstruct

from restwell._email_addresses import EmailAddress
from restwell.auth import Actor
from restwell.edge._route import PATH_TYPES
from restwell.errors import AppError, MalformedRequest, PreconditionFailed, PreconditionRequired, UnsupportedMediaType
from restwell.web._concrete_types import with_concrete_types
from restwell.web._conditional import expected_versions
from restwell.web._decoding import decode_body, decode_query
from restwell.web._formats import ambiguous_formats
from restwell.web._forms import read_form
from restwell.web._literals import text_parsers
from restwell.web._models import decode_model, model_adapter, models_within
from restwell.web._request import MERGE_PATCH, Request, body_media_type
from restwell.web._uploads import Upload, read_upload

Read = Callable[[Request], Any]
FindService = Callable[[type], Any]
"""Returns the service of a type, or None."""

_numbers: Final = count()
_TYPES_BY_NAME: Final[Mapping[str, type]] = {"actor": Actor, "request": Request, "upload": Upload}
_is_token: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_SCALARS: Final = (str, int, float, bool, UUID, Decimal, date, datetime, time, timedelta, Enum, EmailAddress)


class Header(Struct, frozen=True):
    """A header of the request: ``Annotated[str | None, Header("X-Name")] = None``.

    ``read`` converts its text, or None without the header; it may raise an AppError, of which ``raises`` are
    documented. Without a ``required`` header the response is 400, unless ``read`` decides.
    """

    name: str
    description: str = ""
    required: bool = False
    read: Callable[[str | None], Any] | None = None
    raises: tuple[type[AppError], ...] = ()

    def __post_init__(self) -> None:
        if not _is_token(self.name):
            raise TypeError(f'Header: name must be the name of a header, such as "X-Name", not {self.name!r}')


IfMatch = Annotated[
    frozenset[int] | None,
    Header(
        "If-Match",
        "The ETag of the version to modify. Prevents lost updates.",
        required=True,
        read=expected_versions,
        raises=(PreconditionRequired, PreconditionFailed),
    ),
]
"""The versions in If-Match, for ``check_version``; None for any version (``*``). 428 without the header."""


class Parameters(Struct):
    """The parameters of a handler by source, with their types and the functions that read them.

    ``data``: the type of the JSON body, or the TypeAdapter of a type with Pydantic models.
    ``scalars``: the names of the parameters that are fields of ``filters``, when the handler takes them one by one.
    ``read``: reads a value from the request. ``read_body``: the same for the one parameter that reads the body.
    """

    path: dict[str, type] = {}
    headers: dict[str, Header] = {}
    data: Any = None
    form: type[Struct] | None = None
    filters: type[Struct] | None = None
    upload: bool = False
    actor: bool = False
    optional_actor: bool = False
    scalars: tuple[str, ...] = ()
    services: dict[str, object] = {}
    read: dict[str, Read] = {}
    read_body: tuple[str, Callable[[Request], Awaitable[Any]]] | None = None


def infer_parameters(
    handler: Callable[..., Any],
    method: str,
    path_names: Collection[str],
    find_service: FindService,
    types: Mapping[type, type] = MappingProxyType({}),
) -> Parameters:
    """Find the source of each parameter of the handler. Raises TypeError with every fault.

    ``types``: the concrete types of declared ones.
    """
    try:
        hints = {
            name: with_concrete_types(hint, types)
            for name, hint in get_type_hints(handler, include_extras=True).items()
        }
    except NameError as error:
        raise TypeError(f"has an annotation that needs an import at run time: {error}") from None
    inference = _Inference(method, path_names, find_service)
    scalars: dict[str, inspect.Parameter] = {}
    faults: list[str] = []
    for name, parameter in inspect.signature(handler).parameters.items():
        try:
            if not inference.add(parameter, hints.get(name, parameter.empty)):
                scalars[name] = parameter
        except TypeError as error:
            faults.append(f"takes {name}: {error}")
    found = inference.found
    if scalars and found.filters is not None:
        faults.append(f"takes {' and '.join(scalars)}: make it a field of the Struct of filters")
    elif scalars:
        try:
            _add_scalars(found, scalars, hints)
        except TypeError as error:
            faults.append(f"takes {' and '.join(scalars)}: {error}")
    faults += [f"needs a parameter {name}: it is in the path" for name in path_names if name not in found.path]
    if faults:
        raise TypeError("; and ".join(faults))
    return found


class _Inference:
    """Adds one parameter after the other to ``found``."""

    def __init__(self, method: str, path_names: Collection[str], find_service: FindService) -> None:
        self.found = Parameters()
        self._method = method
        self._path_names = path_names
        self._find_service = find_service

    def add(self, parameter: inspect.Parameter, annotation: Any) -> bool:
        """Add a parameter. Returns False for a query parameter. Raises TypeError."""
        found, name, kind = self.found, parameter.name, _without_metadata(annotation)
        header = next((each for each in get_args(annotation)[1:] if isinstance(each, Header)), None)
        _check(parameter, annotation, header, is_in_path=name in self._path_names)
        if name in self._path_names:
            found.path[name] = kind
            found.read[name] = lambda request: request.context.path_parameters[name]
        elif kind is Request:
            found.read[name] = lambda request: request
        elif header is not None:
            found.headers[name] = header
            found.read[name] = _header_reader(header)
        elif kind is Actor:
            found.actor = True
            found.read[name] = attrgetter("actor")
        elif kind == (Actor | None):
            found.optional_actor = True
            found.read[name] = lambda request: request.actor if request.user_id is not None else None
        elif name in {"data", "form"} or kind is Upload:
            self._add_body(name, annotation)
        elif name == "filters":
            found.filters = _text_struct(kind)
            found.read[name] = _filters_reader(found.filters)
        elif isinstance(kind, type) and kind is not Any and not issubclass(kind, _SCALARS):
            self._add_service(name, kind)
        else:
            return False
        return True

    def _add_body(self, name: str, annotation: Any) -> None:
        if self._method not in _METHODS_WITH_BODY:
            raise TypeError("only POST, PUT and PATCH have a body")
        if self.found.read_body is not None:
            raise TypeError(f"the handler takes {self.found.read_body[0]} already, and a request has one body")
        self.found.read_body = name, _body_reader(self.found, name, annotation)

    def _add_service(self, name: str, kind: Any) -> None:
        service = self._find_service(kind)
        if service is None:
            is_struct = issubclass(kind, Struct) or bool(models_within(kind))
            hint = "; or name the parameter data for a JSON body, filters for a query, or form" if is_struct else ""
            raise TypeError(f"no service is a {kind.__name__}: add it to the services of a Feature{hint}")
        self.found.services[name] = service


def _check(parameter: inspect.Parameter, annotation: Any, header: Header | None, *, is_in_path: bool) -> None:
    """Raises TypeError for an annotation that cannot be what its author means."""
    expected, kind = _TYPES_BY_NAME.get(parameter.name), _without_metadata(annotation)
    if parameter.kind not in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
        raise TypeError("arguments are passed by name: write it without * or /")
    if kind is parameter.empty:
        raise TypeError("annotate it")
    if is_in_path:
        if annotation not in PATH_TYPES:
            raise TypeError("annotate a path parameter as UUID, int or str, and check constraints in the handler")
    elif expected is not None and kind is not expected and not (expected is Actor and kind == (Actor | None)):
        optional = ", or Actor | None where sign-in is optional" if expected is Actor else ""
        raise TypeError(f"annotate it as {expected.__name__}{optional}")
    elif header is not None and header.read is None and kind != (str if header.required else str | None):
        wanted = "str" if header.required else "str | None"
        raise TypeError(f'annotate it as Annotated[{wanted}, Header("{header.name}")], or pass read= to convert it')
    elif header is None and parameter.name == "if_match":
        raise TypeError("annotate it as IfMatch")


def _header_reader(header: Header) -> Read:
    name, convert = header.name.lower().encode("latin-1"), header.read

    def read(request: Request) -> Any:
        value = request.fields.get(name)
        text = value.decode("latin-1") if value is not None else None
        if convert is not None:
            return convert(text)
        if text is None and header.required:
            raise MalformedRequest(f"Send the header field {header.name}.")
        return text

    return read


def _body_reader(found: Parameters, name: str, annotation: Any) -> Callable[[Request], Awaitable[Any]]:
    if name == "data":
        if models_within(annotation):
            found.data = model_adapter(annotation)
            return partial(_read_json, decode=decode_model, kind=found.data)
        if faults := list(ambiguous_formats(annotation)):
            raise TypeError("; and ".join(faults))
        found.data = annotation
        return partial(_read_json, decode=decode_body, kind=annotation)
    if name == "form":
        found.form = _text_struct(_without_metadata(annotation))
        return partial(read_form, kind=found.form)
    found.upload = True
    return read_upload


async def _read_json(request: Request, *, decode: Callable[[bytes, Any], Any], kind: Any) -> Any:
    expected = body_media_type(request.method)
    received = request.fields.get(b"content-type", b"").partition(b";")[0].strip(b" \t").lower().decode("latin-1")
    if received != expected:
        name = "accept-patch" if expected == MERGE_PATCH else "accept"
        raise UnsupportedMediaType(f"Send the body as {expected}.", headers={name: expected})
    body = await request.body()
    if not body:
        raise MalformedRequest("The request needs a JSON body.")
    return decode(body, kind)


def _text_struct(kind: Any) -> type[Struct]:
    """Check that each field has one text format. Raises TypeError."""
    if not (isinstance(kind, type) and issubclass(kind, Struct)):
        raise TypeError("annotate it as a msgspec Struct")
    text_parsers(kind)
    faults = list(ambiguous_formats(kind))
    if faults:
        raise TypeError("; and ".join(faults))
    return kind


def _filters_reader(kind: type[Struct]) -> Read:
    return lambda request: decode_query(request.scope["query_string"], kind)


def _add_scalars(found: Parameters, scalars: dict[str, inspect.Parameter], hints: dict[str, Any]) -> None:
    fields = [
        (name, hints[name]) if parameter.default is parameter.empty else (name, hints[name], parameter.default)
        for name, parameter in scalars.items()
    ]
    # Each has another name: the schemas of types are found by name.
    found.filters = _text_struct(defstruct(f"Query{next(_numbers)}", fields, frozen=True, kw_only=True))
    found.scalars = tuple(scalars)
    found.read["filters"] = _filters_reader(found.filters)


def _without_metadata(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
