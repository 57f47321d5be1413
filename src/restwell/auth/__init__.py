"""Password hashing, access and refresh tokens, TOTP and OAuth sign-in, without framework or database."""

from restwell.auth._actor import MACHINE, Actor, ClientInfo
from restwell.auth._key_derivation import KeyDeriver
from restwell.auth._passwords import Passwords
from restwell.auth._refresh_tokens import RefreshTokens
from restwell.auth._tokens import AccessTokens, Claims

__all__ = ["MACHINE", "AccessTokens", "Actor", "Claims", "ClientInfo", "KeyDeriver", "Passwords", "RefreshTokens"]
