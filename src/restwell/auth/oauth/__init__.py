"""Signing in elsewhere: OAuth 2 with code and PKCE as RFC 9700 asks, and OpenID Connect where the provider speaks it."""

from restwell.auth.oauth.provider import Identity, Provider, ProviderUnavailable, SignInRefused
from restwell.auth.oauth.providers import Providers
from restwell.auth.oauth.state import AuthorizationFlow, AuthorizationFlows, InvalidSignIn, ReturnTo

__all__ = [
    "AuthorizationFlow",
    "AuthorizationFlows",
    "Identity",
    "InvalidSignIn",
    "Provider",
    "ProviderUnavailable",
    "Providers",
    "ReturnTo",
    "SignInRefused",
]
