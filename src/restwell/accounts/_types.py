"""The schemas of accounts with the roles of an application."""

from enum import StrEnum
from typing import Any

from msgspec import UNSET, UnsetType, defstruct

from restwell.accounts._users.schemas import User, UserUpdateRequest


def account_types(roles: type[StrEnum]) -> dict[type, type]:
    """The type to use instead of each declared one."""
    return {
        User: with_fields(User, ("role", roles)),
        UserUpdateRequest: with_fields(UserUpdateRequest, ("role", roles | UnsetType, UNSET)),
    }


def with_fields(kind: type, *fields: tuple[str, Any] | tuple[str, Any, Any]) -> type:
    """A subclass of a Struct with other fields. A replaced field keeps its place."""
    return defstruct(
        kind.__name__,
        fields,
        bases=(kind,),
        module=kind.__module__,
        namespace={"__doc__": kind.__doc__},
        frozen=True,
        forbid_unknown_fields=kind.__struct_config__.forbid_unknown_fields,  # type: ignore[attr-defined]
    )
