from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.email_addresses import EmailAddress
from restwell.fields import Instant, SingleLineText
from shop.access import Role

Email = Annotated[EmailAddress, Meta(examples=["ada@example.com"])]
Password = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=128,
        examples=["correct horse battery staple"],
        description="8 to 128 characters. Common passwords are rejected.",
    ),
]
Name = Annotated[SingleLineText, Meta(examples=["Ada Lovelace"])]


class RegistrationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    password: Password
    name: Name


class User(Struct, frozen=True):
    id: UUID
    email: Annotated[str, Meta(examples=["ada@example.com"])]
    email_verified: bool
    name: Annotated[str, Meta(examples=["Ada Lovelace"])]
    role: Role
    active: bool
    created_at: Instant
    updated_at: Instant


class AccountUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that users may change on their own account."""

    name: Name | UnsetType = UNSET


class PasswordChangeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    current_password: Annotated[str, Meta(max_length=128, examples=["demo-password-2026"])]
    new_password: Password


class UserUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that an admin may change on another account."""

    role: Role | UnsetType = UNSET
    active: bool | UnsetType = UNSET
