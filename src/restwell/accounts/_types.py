"""The schemas of accounts with the roles and the profile of an application."""

from enum import StrEnum
from typing import Any

from msgspec import UNSET, UnsetType, defstruct

from restwell.accounts._profiles import Profiles
from restwell.accounts._users.schemas import AccountUpdateRequest, User, UserUpdateRequest


def stored_user_type(profiles: Profiles | None) -> type[User]:
    """The type of accounts in services and in the cache, where a role is any text."""
    return with_fields(User, ("profile", profiles.kind)) if profiles is not None else User


def account_types(roles: type[StrEnum], user: type[User], profiles: Profiles | None) -> dict[type, type]:
    """The type to use instead of each declared one."""
    types: dict[type, type] = {
        User: with_fields(user, ("role", roles)),
        UserUpdateRequest: with_fields(UserUpdateRequest, ("role", roles | UnsetType, UNSET)),
    }
    if profiles is not None:
        types[AccountUpdateRequest] = with_fields(AccountUpdateRequest, profile_change(profiles))
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
