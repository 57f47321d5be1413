"""The schemas of accounts with the roles, languages and profile of an application."""

from enum import StrEnum
from typing import Any

from msgspec import UNSET, UnsetType, defstruct

from restwell.accounts._languages import Languages
from restwell.accounts._profiles import Profiles
from restwell.accounts._users.schemas import AccountUpdateRequest, OwnFieldsUpdateRequest, User, UserUpdateRequest


def stored_user_type(languages: Languages, profiles: Profiles | None) -> type[User]:
    """The type of accounts in services and in the cache, where a role is any text."""
    fields: list[tuple[str, Any]] = []
    if languages.are_several:
        fields.append(("language", languages.type))
    if profiles is not None:
        fields.append(("profile", profiles.kind))
    return with_fields(User, *fields) if fields else User


def account_types(
    roles: type[StrEnum],
    user: type[User],
    languages: Languages,
    profiles: Profiles | None,
    *,
    has_directory: bool = False,
) -> dict[type, type]:
    """The type to use instead of each declared one. With a directory, users may change only their own fields."""
    types: dict[type, type] = {
        User: with_fields(user, ("role", roles)),
        UserUpdateRequest: with_fields(UserUpdateRequest, ("role", roles | UnsetType, UNSET)),
    }
    changes: list[tuple[str, Any, Any]] = []
    if languages.are_several:
        changes.append(("language", languages.type | UnsetType, UNSET))
    if profiles is not None:
        changes.append(profile_change(profiles))
    if changes:
        request = OwnFieldsUpdateRequest if has_directory else AccountUpdateRequest
        types[AccountUpdateRequest] = with_fields(request, *changes)
    return types


def profile_change(profiles: Profiles) -> tuple[str, Any, Any]:
    """The field of a request that changes the profile."""
    return "profile", profiles.patch_type | UnsetType, UNSET


def with_fields(kind: type, *fields: tuple[str, Any] | tuple[str, Any, Any]) -> type:
    """A subclass of a Struct with other fields. A replaced field keeps its place."""
    return defstruct(
        kind.__name__,
        fields,
        bases=(kind,),
        module=kind.__module__,
        namespace={"__doc__": kind.__doc__},
    )
