"""What is sent and got to sign in, stay signed in and see where one is."""

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.email_addresses import EmailAddress
from shop.schema import Instant


class SignInRequest(Struct, frozen=True, forbid_unknown_fields=True):
    email: Annotated[EmailAddress, Meta(examples=["customer1@shop.example"])]
    password: Annotated[str, Meta(max_length=128, examples=["demo-password-2026"])]
    code: Annotated[str, Meta(max_length=60, description="Of the second factor, where the account has one.")] | None = (
        None
    )
    cookies: Annotated[bool, Meta(description="For browsers: the tokens come as cookies that no script can read.")] = (
        False
    )


_RefreshToken = Annotated[
    str, Meta(max_length=200, examples=["rt_kXw0..."], description="Left out, it is taken from the cookie.")
]


class TokenRefreshRequest(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: _RefreshToken | UnsetType = UNSET


class BearerTokens(Struct, frozen=True, tag_field="token_type", tag="Bearer"):
    """The pair that keeps a device signed in. ``expires_in`` is the access token's life in seconds."""

    access_token: Annotated[str, Meta(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9..."])]
    refresh_token: Annotated[str, Meta(examples=["rt_kXw0..."])]
    expires_in: Annotated[int, Meta(examples=[900])]


class CookieTokens(Struct, frozen=True, tag_field="token_type", tag="Cookie"):
    """A browser has them, and its scripts do not. ``expires_in`` is when to refresh, in seconds."""

    expires_in: Annotated[int, Meta(examples=[900])]


class Session(Struct, frozen=True):
    id: UUID
    user_agent: Annotated[str, Meta(examples=["curl/8.5.0"])]
    ip_address: Annotated[str, Meta(examples=["203.0.113.7"])]
    created_at: Instant
    last_used_at: Instant
    current: Annotated[bool, Meta(description="Whether this request belongs to it.")]


class SessionList(Struct, frozen=True):
    items: list[Session]
