from typing import Annotated

from msgspec import Meta, Struct

Code = Annotated[
    str,
    Meta(
        min_length=6,
        max_length=60,
        examples=["492039"],
        description="A code from the authenticator app, or a recovery code.",
    ),
]
_Password = Annotated[str, Meta(max_length=128, examples=["demo-password-2026"])]


class MfaStatus(Struct, frozen=True):
    active: bool
    recovery_codes_left: Annotated[int, Meta(examples=[10])]


class MfaEnrolmentRequest(Struct, frozen=True, forbid_unknown_fields=True):
    current_password: _Password


class MfaEnrolment(Struct, frozen=True):
    """Show ``uri`` as a QR code, or ``secret`` for manual entry."""

    secret: Annotated[str, Meta(examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])]
    uri: Annotated[str, Meta(examples=["otpauth://totp/shop:ada%40example.com?secret=JBSWY3DPEHPK3PXP&issuer=app"])]


class MfaConfirmationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    code: Code


class NewRecoveryCodes(Struct, frozen=True):
    """Each code replaces an authenticator code once. They are returned only in this response."""

    recovery_codes: Annotated[list[str], Meta(examples=[["J1Xk0tqA..."]])]


class MfaRemovalRequest(Struct, frozen=True, forbid_unknown_fields=True):
    current_password: _Password
    code: Code
