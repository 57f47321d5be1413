"""Sign-in with identity providers: OpenID Connect, or the OAuth 2.0 authorization code flow with PKCE (RFC 9700)."""

from restwell._extras import needs_extra

with needs_extra("auth", __name__):
    from restwell.auth.oauth._provider import Identity, ProviderUnavailable, SignInRefused
    from restwell.auth.oauth._providers import Providers
    from restwell.auth.oauth._state import (
        FLOW_TTL_SECONDS,
        AuthorizationFlow,
        AuthorizationFlows,
        InvalidSignIn,
        ReturnTo,
    )

__all__ = [
    "FLOW_TTL_SECONDS",
    "AuthorizationFlow",
    "AuthorizationFlows",
    "Identity",
    "InvalidSignIn",
    "ProviderUnavailable",
    "Providers",
    "ReturnTo",
    "SignInRefused",
]
