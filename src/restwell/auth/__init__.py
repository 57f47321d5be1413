"""Who is calling: password hashes, access tokens and refresh tokens. Knows neither HTTP nor the database."""

from restwell.auth.actor import Actor
from restwell.auth.keys import Keys
from restwell.auth.passwords import Passwords
from restwell.auth.refresh_tokens import RefreshTokens
from restwell.auth.tokens import AccessTokens, Claims

__all__ = ["AccessTokens", "Actor", "Claims", "Keys", "Passwords", "RefreshTokens"]
