from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.accounts._users.schemas import Email, Name, Password


class RegistrationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    password: Password
    name: Name

    @property
    def profile(self) -> Struct | UnsetType:
        """The values of the profile, of applications that have one."""
        return UNSET


class PasswordChangeRequest(Struct, frozen=True, forbid_unknown_fields=True):
    current_password: Annotated[str, Meta(max_length=128, examples=["demo-password-2026"])]
    new_password: Password


class SignInRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    password: Annotated[str, Meta(max_length=128, examples=["correct horse battery staple"])]
    code: (
        Annotated[str, Meta(max_length=60, description="Authenticator or recovery code. Required if MFA is enabled.")]
        | None
    ) = None
    cookies: Annotated[bool, Meta(description="For browsers: return the tokens as HttpOnly cookies.")] = False


class PasswordResetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email


class PasswordResetCompletionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[
        str, Meta(min_length=1, max_length=100, description="The code from the email.", examples=["J1Xk0tqA..."])
    ]
    password: Password
