"""What is sent and got to sign in elsewhere."""

from typing import Annotated

from msgspec import Meta, Struct

from restwell.auth.oauth import ReturnTo
from shop.schema import Instant


class AuthorizationParameters(Struct, frozen=True):
    """Without ``return_to``, the answer is what a sign-in answers."""

    return_to: ReturnTo | None = None


class OAuthCallback(Struct, frozen=True, kw_only=True):
    """What a provider sends the browser back with (RFC 6749 4.1.2, RFC 9207)."""

    state: Annotated[str, Meta(max_length=200, description="What the sign-in was begun with.")] = ""
    code: Annotated[str, Meta(max_length=2_048, description="Worth the identity, once.")] | None = None
    iss: Annotated[str, Meta(max_length=500, description="Whose answer it is.")] | None = None
    error: Annotated[str, Meta(max_length=200, description="Why there is no code.")] | None = None


class IdentityProvider(Struct, frozen=True):
    name: Annotated[str, Meta(examples=["google"])]
    url: Annotated[str, Meta(examples=["/v1/identities/google/sign-in"], description="Send the browser there.")]


class IdentityProviderList(Struct, frozen=True):
    items: list[IdentityProvider]


class LinkedIdentity(Struct, frozen=True):
    provider: Annotated[str, Meta(examples=["google"])]
    email: Annotated[str | None, Meta(examples=["ada@example.com"])]
    created_at: Instant


class LinkedIdentityList(Struct, frozen=True):
    items: list[LinkedIdentity]


class AuthorizationUrl(Struct, frozen=True):
    url: Annotated[str, Meta(examples=["https://accounts.google.com/o/oauth2/v2/auth?..."])]
