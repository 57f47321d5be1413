from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.accounts._users.schemas import Email

_CurrentPassword = Annotated[str, Meta(max_length=128, description="Required for a new address.")]


class EmailVerificationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    current_password: _CurrentPassword | UnsetType = UNSET


class EmailVerificationCompletionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[
        str, Meta(min_length=1, max_length=100, description="The code from the email.", examples=["J1Xk0tqA..."])
    ]
