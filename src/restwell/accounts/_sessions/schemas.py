from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.fields import Instant

_RefreshToken = Annotated[
    str, Meta(max_length=200, examples=["rt_kXw0..."], description="Default: the session cookie.")
]


class TokenRefreshRequest(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: _RefreshToken | UnsetType = UNSET


class BearerTokens(Struct, frozen=True, tag_field="token_type", tag="Bearer"):
    """An access token and a refresh token. ``expires_in`` is the lifetime of the access token in seconds."""

    access_token: Annotated[str, Meta(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9..."])]
    refresh_token: Annotated[str, Meta(examples=["rt_kXw0..."])]
    expires_in: Annotated[int, Meta(examples=[900])]


class CookieTokens(Struct, frozen=True, tag_field="token_type", tag="Cookie"):
    """The tokens are in HttpOnly cookies. ``expires_in`` is the lifetime of the access token in seconds."""

    expires_in: Annotated[int, Meta(examples=[900])]


class Session(Struct, frozen=True):
    id: UUID
    user_agent: Annotated[str, Meta(examples=["curl/8.5.0"])]
    ip_address: Annotated[str, Meta(examples=["203.0.113.7"])]
    created_at: Instant
    last_used_at: Instant
    current: Annotated[bool, Meta(description="Whether it is the session of this request.")]


class SessionList(Struct, frozen=True):
    items: list[Session]
