"""Password hashing, access and refresh tokens, TOTP and OAuth sign-in, without framework or database.

What hashes passwords, or signs or encrypts, needs the extra ``auth``, and is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from restwell._extras import needs_extra
from restwell.auth._actor import MACHINE, Actor, ClientInfo
from restwell.auth._refresh_tokens import RefreshTokens

if TYPE_CHECKING:
    from restwell.auth._encryption import DecryptionError, SecretBox
    from restwell.auth._password_policy import PasswordPolicy
    from restwell.auth._passwords import PasswordRejected, Passwords, PasswordsBusy
    from restwell.auth._tokens import AccessTokens, Claims
    from restwell.auth._totp import matching_totp_step, new_totp_secret, totp_uri
    from restwell.auth._trusted_issuer import TrustedIssuer

__all__ = [
    "MACHINE",
    "AccessTokens",
    "Actor",
    "Claims",
    "ClientInfo",
    "DecryptionError",
    "PasswordPolicy",
    "PasswordRejected",
    "Passwords",
    "PasswordsBusy",
    "RefreshTokens",
    "SecretBox",
    "TrustedIssuer",
    "matching_totp_step",
    "new_totp_secret",
    "totp_uri",
]

_MODULES = {
    "AccessTokens": "_tokens",
    "Claims": "_tokens",
    "DecryptionError": "_encryption",
    "PasswordPolicy": "_password_policy",
    "PasswordRejected": "_passwords",
    "Passwords": "_passwords",
    "PasswordsBusy": "_passwords",
    "SecretBox": "_encryption",
    "TrustedIssuer": "_trusted_issuer",
    "matching_totp_step": "_totp",
    "new_totp_secret": "_totp",
    "totp_uri": "_totp",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_extra("auth", f"{__name__}.{name}"):
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
