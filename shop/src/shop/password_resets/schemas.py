from typing import Annotated

from msgspec import Meta, Struct

from shop.users.schemas import Email, Password


class PasswordResetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email


class PasswordResetCompletionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[
        str, Meta(min_length=1, max_length=100, description="The code from the email.", examples=["J1Xk0tqA..."])
    ]
    password: Password
