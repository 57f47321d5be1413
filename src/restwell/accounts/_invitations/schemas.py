from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.accounts._users.schemas import Email, Name, Password
from restwell.fields import Instant


class InvitationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """``role`` is that of the new account, one of the roles of the application."""

    email: Email
    role: str


class Invitation(Struct, frozen=True):
    id: UUID
    email: Annotated[str, Meta(examples=["ada@example.com"])]
    role: str
    invited_by: Annotated[UUID, Meta(description="The admin who sent it.")]
    created_at: Instant
    expires_at: Instant


class InvitationAcceptanceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[
        str, Meta(min_length=1, max_length=100, description="The code from the email.", examples=["J1Xk0tqA..."])
    ]
    name: Name
    password: Password

    @property
    def profile(self) -> Struct | UnsetType:
        """The values of the profile, of applications that have one."""
        return UNSET
