"""Checks the values of declarations when they are made: a wrong one is a TypeError at import."""

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from msgspec import Struct, UnsetType

from restwell.database import PageQuery, Query
from restwell.edge._lifecycle import Lifecycle
from restwell.errors import AppError, ErrorFormat
from restwell.jobs import Job
from restwell.rate_limits import Rate
from restwell.web._caching import Public
from restwell.web._request import AuthScheme
from restwell.web._token_endpoint import ClientCredentials
from restwell.web._webhooks import Webhook

Check = Callable[[Any], object]

_is_package: Final = re.compile(r"\w+", re.ASCII).fullmatch
_PAGE_FIELDS: Final = 2
_path: Final = re.compile(r"/|(?:/(?:[^/{}]+|\{[a-zA-Z_]\w*\}))*").fullmatch


def check(owner: str, values: Mapping[str, Any]) -> None:
    """Raises TypeError with every value that is none of its kind. Names that are no declarations are ignored."""
    faults = [
        f"{name} must be {expected}, not {values[name]!r}"
        for name, (is_valid, expected) in _CHECKS.items()
        if name in values and not is_valid(values[name])
    ]
    if faults:
        raise TypeError(f"{owner}: {'; and '.join(faults)}")


def _is(*kinds: type) -> Check:
    return lambda value: isinstance(value, kinds)


def _list_of(is_valid: Check) -> Check:
    return lambda value: isinstance(value, Sequence) and not isinstance(value, str) and all(map(is_valid, value))


def _maps(key: type, item: type) -> Check:
    return lambda value: (
        isinstance(value, Mapping) and all(type(each) is key and type(value[each]) is item for each in value)
    )


def _are_migrations(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(each, str)
        and _is_package(each)
        and each not in {"restwell", "application"}
        and isinstance(value[each], Path)
        for each in value
    )


def _are_types(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, type) and callable(value[each]) for each in value)


def _optional(is_valid: Check) -> Check:
    return lambda value: value is None or is_valid(value)


def _is_path(value: Any) -> object:
    return isinstance(value, str) and _path(value)


def _is_guard(value: Any) -> bool:
    if isinstance(value, type) or not callable(value):
        return False
    return iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__)


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, AppError)


def _is_positive(value: Any) -> bool:
    return type(value) in {int, float} and value > 0


_CHECKS: Final[Mapping[str, tuple[Check, str]]] = {
    "path": (_is_path, 'a path such as "/{order_id}", without the type of the parameter'),
    "guards": (_list_of(_is_guard), "a list of async functions such as signed_in"),
    "raises": (_list_of(_is_error), "a list of subclasses of AppError"),
    "idempotent": (_is(bool), "True or False"),
    "cache": (_optional(_is(Public)), "the result of public(...)"),
    "rate_limit": (_is(Rate, UnsetType, type(None)), "a Rate or None"),
    "timeout_seconds": (_optional(_is_positive), "a number above 0"),
    "query_budget": (_maps(str, int), "numbers by the name of a query"),
    "status_code": (_optional(lambda value: type(value) is int and value in range(200, 400)), "a status below 400"),
    "other_responses": (_maps(int, str), "descriptions by status"),
    "media_type": (_optional(_is(str)), 'a media type such as "text/csv"'),
    "max_body_bytes": (_optional(lambda value: type(value) is int and value > 0), "a whole number above 0"),
    "tags": (_list_of(_is(str)), "a list of texts"),
    "include_in_schema": (_is(bool), "True or False"),
    "lifecycle": (_optional(_is(Lifecycle)), "a Lifecycle"),
    "error_format": (_optional(_is(ErrorFormat)), "an ErrorFormat"),
    "controllers": (_is(list, tuple), "a list of controllers and handlers"),
    "services": (_is(list, tuple), "a list of objects"),
    "jobs": (_list_of(_is(Job)), "a list of jobs"),
    "queries": (_list_of(_is(ModuleType, FunctionType, Query, PageQuery)), "a list of modules or queries"),
    "migrations": (
        _are_migrations,
        "folders (Path) by package name, which has letters, digits and underscores, and is not restwell or application",
    ),
    "authenticate": (
        _optional(lambda value: callable(value) or isinstance(value, AuthScheme)),
        "a function of the access token, its class, or an AuthScheme",
    ),
    "session_cookies": (_is(bool), "True or False"),
    "client_credentials": (
        _optional(lambda value: isinstance(value, ClientCredentials) and _is_path(value.token_path)),
        'ClientCredentials with a token_path such as "/oauth/token"',
    ),
    "types": (_are_types, "types, or functions that return one, by the declared type"),
    "tag_descriptions": (_maps(str, str), "descriptions by tag"),
    "webhooks": (_list_of(_is(Webhook)), "a list of Webhook"),
    "enabled": (_optional(callable), "a function of the settings"),
    "prefix": (_is_path, 'a path such as "/v1"'),
    "requests": (_list_of(_is(FunctionType)), "a list of functions"),
    "responses": (_list_of(_is(FunctionType)), "a list of functions"),
    "page": (
        _optional(
            lambda value: (
                isinstance(value, type) and issubclass(value, Struct) and len(value.__struct_fields__) == _PAGE_FIELDS
            )
        ),
        "a generic Struct with two fields: the items, and the path of the next page or None",
    ),
    "parts": (_is(list, tuple), "a list of features, controllers and handlers"),
}
