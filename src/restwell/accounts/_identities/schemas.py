from typing import Annotated

from msgspec import Meta, Struct

from restwell.auth.oauth import ReturnTo
from restwell.fields import Instant


class AuthorizationParameters(Struct, frozen=True):
    return_to: ReturnTo | None = None
    """Without it, the callback returns ``CookieTokens`` instead of a redirect."""


class OAuthCallback(Struct, frozen=True, kw_only=True):
    """Query parameters of the provider's redirect (RFC 6749 section 4.1.2, RFC 9207)."""

    state: Annotated[str, Meta(max_length=200, description="The state parameter of the authorization request.")] = ""
    code: Annotated[str, Meta(max_length=2_048, description="The authorization code.")] | None = None
    iss: Annotated[str, Meta(max_length=500, description="The issuer identifier of the provider.")] | None = None
    error: Annotated[str, Meta(max_length=200, description="The error code, if the authorization failed.")] | None = (
        None
    )


class IdentityProvider(Struct, frozen=True):
    name: Annotated[str, Meta(examples=["google"])]
    url: Annotated[
        str,
        Meta(
            examples=["/identities/google/sign-in"],
            description="The URL that starts the sign-in. Navigate the browser to it.",
        ),
    ]


class IdentityProviderList(Struct, frozen=True):
    items: list[IdentityProvider]


class LinkedIdentity(Struct, frozen=True):
    provider: Annotated[str, Meta(examples=["google"])]
    email: Annotated[str | None, Meta(examples=["ada@example.com"])]
    created_at: Instant


class LinkedIdentityList(Struct, frozen=True):
    items: list[LinkedIdentity]


class AuthorizationUrl(Struct, frozen=True):
    url: Annotated[
        str,
        Meta(
            examples=["https://accounts.google.com/o/oauth2/v2/auth?..."],
            description="The provider's authorization endpoint. Navigate the browser to it.",
        ),
    ]
