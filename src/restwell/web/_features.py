"""What the features of an application contribute to it together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from restwell.settings import Settings
from restwell.web._authentication import Authentication
from restwell.web._declarations import Feature, Part, Version
from restwell.web._token_endpoint import ClientCredentials
from restwell.web._webhooks import Webhook

T = TypeVar("T")


def enabled_parts(parts: Iterable[Part | Version], settings: Settings) -> list[Part | Version]:
    """The parts without the features that are not enabled."""
    found: list[Part | Version] = []
    for part in parts:
        if isinstance(part, Version):
            found.append(msgspec.structs.replace(part, parts=enabled_parts(part.parts, settings)))
        elif not isinstance(part, Feature) or part.enabled is None or part.enabled(settings):
            found.append(part)
    return found


def features_of(parts: Iterable[Part | Version]) -> list[Feature]:
    """The features among the parts, each once."""
    return [feature for _, feature in _with_prefixes(parts)]


def versions_of(parts: Iterable[Part | Version]) -> list[Version]:
    """The versions, in the order of the application; one without a prefix if it has none.

    Raises TypeError for two versions with the same prefix.
    """
    versions = [part for part in parts if isinstance(part, Version)]
    prefixes = [each.prefix for each in versions]
    for prefix in prefixes:
        if prefixes.count(prefix) > 1:
            raise TypeError(f"two versions have the prefix {prefix}: make them one, or change a prefix")
    return versions or [Version("", [])]


def serves_routes(feature: Feature) -> bool:
    """Whether the feature has routes, or options of the routes of the application."""
    return bool(
        feature.controllers
        or feature.authenticate
        or feature.session_cookies
        or feature.client_credentials
        or feature.types
        or feature.webhooks
    )


def webhooks_of(parts: Iterable[Part | Version], version: Version) -> list[Webhook]:
    """The webhooks of a version, and those of features outside of versions."""
    common = [part for part in parts if not isinstance(part, Version)]
    return [each for part in (*common, *version.parts) if isinstance(part, Feature) for each in part.webhooks]


def migrations_of(features: Iterable[Feature]) -> dict[str, Path]:
    """The folders of migrations by package. Raises TypeError for a package of two features."""
    return _merged(
        [(_name(each), each.migrations) for each in features],
        "migrations of the package {}: rename one of the packages",
    )


def authentication_of(features: Iterable[Feature], given: Authentication | None) -> Authentication | None:
    """The one authentication of the application. Raises TypeError for two."""
    found: Authentication | None = _single(
        [("kit.app", given), *((_name(each), each.authenticate) for each in features)], "authenticate"
    )
    return found


def client_credentials_of(parts: Iterable[Part | Version]) -> ClientCredentials | None:
    """The client credentials of the application, with the whole token path. Raises TypeError for two."""
    found = [
        (_name(feature), msgspec.structs.replace(given, token_path=prefix + given.token_path))
        for prefix, feature in _with_prefixes(parts)
        if (given := feature.client_credentials) is not None
    ]
    credentials: ClientCredentials | None = _single(found, "client_credentials")
    return credentials


def types_of(features: Iterable[Feature], build: Callable[[Callable[..., Any]], Any]) -> dict[type, type]:
    """The concrete types by declared type. ``build`` calls a function with services.

    Raises TypeError for two of one type, and for a function that returns no type.
    """
    given = _merged(
        [(_name(each), each.types) for each in features], "the concrete type of {}: remove it from one of them"
    )
    found: dict[type, type] = {}
    for declared, each in given.items():
        concrete = each if isinstance(each, type) else build(each)
        if not isinstance(concrete, type):
            raise TypeError(f"{_name_of(each)} must return the concrete type of {declared.__name__}, not {concrete!r}")
        found[declared] = concrete
    return found


def _with_prefixes(parts: Iterable[Part | Version]) -> Iterable[tuple[str, Feature]]:
    """The features, each once, with the prefix of the last Version that has it."""
    found: dict[int, tuple[str, Feature]] = {}
    for part in parts:
        prefix, inner = (part.prefix, part.parts) if isinstance(part, Version) else ("", [part])
        for each in inner:
            if isinstance(each, Feature):
                found[id(each)] = prefix, each
    return found.values()


def _merged(given: Sequence[tuple[str, Mapping[Any, T]]], what: str) -> dict[Any, T]:
    merged: dict[Any, T] = {}
    owners: dict[Any, str] = {}
    for owner, items in given:
        for key, item in items.items():
            if key in owners:
                raise TypeError(f"{owners[key]} and {owner} both have {what.format(_name_of(key))}")
            owners[key] = owner
            merged[key] = item
    return merged


def _single(given: Sequence[tuple[str, Any]], what: str) -> Any:
    found = [(owner, value) for owner, value in given if value is not None]
    if len(found) > 1:
        raise TypeError(f"{' and '.join(owner for owner, _ in found)} both have {what}=: remove it from all but one")
    return found[0][1] if found else None


def _name(feature: Feature) -> str:
    return type(feature).__name__ if type(feature) is not Feature else "a Feature"


def _name_of(key: object) -> str:
    return getattr(key, "__name__", str(key))
