from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.auth import PasswordPolicy
from restwell.email_addresses import EmailAddress
from restwell.fields import Instant, SingleLineText

Email = Annotated[EmailAddress, Meta(examples=["ada@example.com"])]
Name = Annotated[SingleLineText, Meta(examples=["Ada Lovelace"])]

Password = Annotated[str, Meta(examples=["correct horse battery staple"])]
"""A new password. ``password_type`` adds the limits of the application."""


def password_type(policy: PasswordPolicy) -> Any:
    return Annotated[
        Password,
        Meta(
            min_length=policy.min_length,
            max_length=policy.max_length,
            description=f"{policy.min_length} to {policy.max_length} characters. Common passwords are rejected.",
        ),
    ]


class User(Struct, frozen=True):
    """An account as its owner and admins see it. ``role`` is one of the roles of the application."""

    id: UUID
    email: Annotated[str, Meta(examples=["ada@example.com"])]
    email_verified: bool
    name: Annotated[str, Meta(examples=["Ada Lovelace"])]
    role: str
    active: bool
    created_at: Instant
    updated_at: Instant

    @property
    def language(self) -> str:
        """The tag (BCP 47) of the user's language. Empty if the application offers only one."""
        return ""

    @property
    def profile(self) -> Any:
        """The application's own fields. Annotate the variable: ``profile: Profile = user.profile``."""
        raise AttributeError("accounts have no profile: pass its type, Accounts(profile=Profile)")


class OwnFieldsUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that users may change on their own account, if the others belong to a directory."""

    @property
    def name(self) -> str | UnsetType:
        return UNSET

    @property
    def language(self) -> str | UnsetType:
        """A tag that the application offers, if it offers several."""
        return UNSET

    @property
    def profile(self) -> Struct | UnsetType:
        """The merge patch of the profile, of applications that have one."""
        return UNSET


class AccountUpdateRequest(OwnFieldsUpdateRequest, frozen=True, forbid_unknown_fields=True):
    """The fields that users may change on their own account."""

    name: Name | UnsetType = UNSET


class UserUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that an admin may change on another account."""

    role: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
