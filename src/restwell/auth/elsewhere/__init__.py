"""Signing in elsewhere: OAuth 2 with code and PKCE as RFC 9700 asks, and OpenID Connect where the provider speaks it."""

from restwell.auth.elsewhere.flow import Flow, Flows, InvalidSignIn, ReturnTo
from restwell.auth.elsewhere.provider import Identity, Provider, ProviderUnavailable, SignInRefused
from restwell.auth.elsewhere.providers import Providers

__all__ = [
    "Flow",
    "Flows",
    "Identity",
    "InvalidSignIn",
    "Provider",
    "ProviderUnavailable",
    "Providers",
    "ReturnTo",
    "SignInRefused",
]
