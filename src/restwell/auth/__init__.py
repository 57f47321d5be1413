"""Password hashing, access and refresh tokens, TOTP and OAuth sign-in, without framework or database."""

from restwell.auth.actor import MACHINE, Actor, ClientInfo
from restwell.auth.key_derivation import KeyDeriver
from restwell.auth.passwords import Passwords
from restwell.auth.refresh_tokens import RefreshTokens
from restwell.auth.tokens import AccessTokens, Claims

__all__ = ["MACHINE", "AccessTokens", "Actor", "Claims", "ClientInfo", "KeyDeriver", "Passwords", "RefreshTokens"]
