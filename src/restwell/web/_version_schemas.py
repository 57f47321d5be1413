"""The schemas of a version that differ from those of the handlers, and the conversions between them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Struct, defstruct, field
from msgspec.structs import FieldInfo, fields, replace

from restwell._api_version import ApiVersion
from restwell.pages import OffsetPage, Page
from restwell.web._concrete_types import with_concrete_types
from restwell.web._declarations import Handler, Version
from restwell.web._openapi_schemas import ComponentSchemas
from restwell.web._responses import Response, Stream
from restwell.web._validation import decode_hook

Convert = Callable[[Any], Any]

_PARAMETERS: Final = ("data", "filters", "form")
_CONTAINERS: Final = frozenset({None, Union, UnionType, Annotated, Response, Page, OffsetPage, list})


class VersionSchemas:
    """The conversions of a version. Raises TypeError for a wrong one.

    ``types`` are the concrete types of declared ones; ``request_types`` those of this version by those of handlers.
    """

    def __init__(self, version: Version, types: Mapping[type, type]) -> None:
        self.version = ApiVersion.of(version.prefix, self._shown)
        requests = [(each, *_types_of(each)) for each in version.requests]
        responses = [(each, *_types_of(each)) for each in version.responses]
        self._types = types
        self._requests = _unique((given, convert) for convert, given, _ in requests)
        self._responses = _unique((taken, convert) for convert, taken, _ in responses)
        self.request_types = self._concrete(_unique((taken, given) for _, given, taken in requests))
        self._response_types = self._concrete({taken: given for _, taken, given in responses})
        self._page = version.page
        self._unused = {taken for _, _, taken in requests} | {taken for _, taken, _ in responses}
        for convert, given, _ in (*requests, *responses):
            self._try(convert, types.get(given, given))

    def of_result(self, annotation: Any) -> Any:
        """The type of the result in this version. Raises TypeError for one that cannot be converted."""
        self._unused.difference_update(_within(annotation))
        concrete = with_concrete_types(annotation, self._types)
        if get_origin(concrete) is Stream:
            (kind,) = get_args(concrete)
            contained = self._contained(kind)
            return with_concrete_types(concrete, {kind: _with_fields(kind, contained)}) if contained else concrete
        for each in _within(concrete):
            if get_origin(each) not in _CONTAINERS and self._converted_type(each) != each:
                raise TypeError(f"returns {each}: only list, Page, OffsetPage and Response are converted in a version")
            if self._contained(each):
                raise TypeError(f"returns {each.__name__}, which contains a converted type: add a conversion of it")
        return self._converted_type(concrete)

    def wrap(self, handler: Handler, hints: Mapping[str, Any]) -> Handler:
        """The handler with the schemas of this version."""
        self._unused.difference_update(each for name in _PARAMETERS for each in _within(hints.get(name)))
        taken = [name for name in _PARAMETERS if self.request_types.keys() & {*_within(hints.get(name))}]
        is_shown = bool(self._response_types.keys() & {*_within(hints.get("return"))})
        if not taken and not is_shown:
            return handler

        async def converted(**values: Any) -> Any:
            for name in taken:
                values[name] = _converted(values[name], self._requests)
            result = await handler(**values)
            return self._shown(result) if is_shown else result

        return converted

    def check_usage(self) -> None:
        """Raises TypeError for conversions of types that no handler has."""
        if self._unused:
            names = ", ".join(sorted(each.__name__ for each in self._unused))
            raise TypeError(f"{self.version.prefix} converts {names}, which no handler of it takes or returns")

    def _try(self, convert: Convert, kind: type) -> None:
        """Convert an example. Raises TypeError for a field that there is not, which would fail each request."""
        try:
            schemas = ComponentSchemas([kind])
            example: Any = msgspec.convert(schemas.example(schemas.ref(kind)), kind, dec_hook=decode_hook)
        except (TypeError, ValueError):  # a type without a schema, or without a valid example
            return
        try:
            convert(example)
        except (AttributeError, TypeError) as error:
            name = f"{convert.__module__}.{convert.__qualname__}"
            raise TypeError(
                f"{name}, a conversion of {self.version.prefix}, fails: {error}; keep the field, or change the function"
            ) from error
        except Exception:  # noqa: BLE001  # the function need not accept the example
            return

    def _concrete(self, converted: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**converted, **{self._types[each]: given for each, given in converted.items() if each in self._types}}

    def _converted_type(self, annotation: Any) -> Any:
        pages = {Page: self._page} if self._page is not None else {}
        return with_concrete_types(annotation, {**self._response_types, **pages})

    def _contained(self, kind: Any) -> list[tuple[Any, ...]]:
        """The fields of a Struct whose types are converted, with these types."""
        if not (isinstance(kind, type) and issubclass(kind, Struct)) or kind in self._response_types:
            return []
        pairs = [(each, with_concrete_types(each.type, self._response_types)) for each in fields(kind)]
        return [(each.name, given, *_default(each)) for each, given in pairs if given != each.type]

    def _shown(self, result: Any) -> Any:
        if isinstance(result, Response):
            return replace(result, content=self._shown(result.content))
        if isinstance(result, Page | OffsetPage):
            return replace(result, items=self._shown(result.items))
        if isinstance(result, list):
            return [_converted(each, self._responses) for each in result]
        return _converted(result, self._responses)


def _converted(value: Any, conversions: Mapping[Any, Convert]) -> Any:
    """The value converted by the function of its type, or of a base of it."""
    convert = next((conversions[each] for each in type(value).__mro__ if each in conversions), None)
    return convert(value) if convert is not None else value


def _types_of(convert: Convert) -> tuple[type, type]:
    """The type of the parameter of a conversion, and that of its result."""
    hints = get_type_hints(convert)
    returned = hints.pop("return", None)
    taken = next(iter(hints.values()), None)
    if len(hints) != 1 or not isinstance(taken, type) or not isinstance(returned, type):
        name = getattr(convert, "__qualname__", convert)
        raise TypeError(f"{name} must convert one type to another: annotate its only parameter and its result")
    return taken, returned


def _unique(pairs: Iterable[tuple[type, Any]]) -> dict[type, Any]:
    found: dict[type, Any] = {}
    for kind, value in pairs:
        if kind in found:
            raise TypeError(f"two conversions of {kind.__qualname__} in a version: remove one")
        found[kind] = value
    return found


def _within(annotation: Any) -> Iterator[Any]:
    """The annotation, and the types that it consists of."""
    yield annotation
    for each in get_args(annotation):
        yield from _within(each)


def _default(given: FieldInfo) -> Iterator[Any]:
    if given.default is not NODEFAULT:
        yield given.default
    elif given.default_factory is not NODEFAULT:
        yield field(default_factory=given.default_factory)


def _with_fields(kind: type[Struct], changed: list[tuple[Any, ...]]) -> type[Struct]:
    """The type of a document that is streamed, whose handler converts its members."""
    return defstruct(kind.__name__, changed, bases=(kind,), namespace={"__doc__": kind.__doc__}, frozen=True)
