from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell.fields import Instant, SingleLineText

SCOPES_META: Final = Meta(min_length=1, max_length=20, description="Grant as few scopes as possible.")


class OAuthClientCreateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[SingleLineText, Meta(examples=["Warehouse"])]
    scopes: Annotated[list[str], SCOPES_META]


class OAuthClient(Struct, frozen=True):
    id: UUID
    name: Annotated[str, Meta(examples=["Warehouse"])]
    scopes: list[str]
    created_at: Instant


class OAuthClientWithSecret(OAuthClient, frozen=True):
    """``secret`` is returned only once."""

    secret: Annotated[str, Meta(examples=["cs_J1Xk0tqA..."])]


class ClientCredentialsRequest(Struct, frozen=True):
    """RFC 6749 section 4.4.2. HTTP Basic authentication may replace `client_id` and `client_secret`."""

    grant_type: Annotated[str, Meta(max_length=100, examples=["client_credentials"])]
    scope: (
        Annotated[
            str,
            Meta(max_length=1_000, description="Space-separated subset of the client's scopes. Default: all of them."),
        ]
        | None
    ) = None
    client_id: Annotated[str, Meta(max_length=100)] = ""
    client_secret: Annotated[str, Meta(max_length=200)] = ""


class ClientCredentialsToken(Struct, frozen=True):
    """RFC 6749 section 5.1."""

    access_token: Annotated[str, Meta(examples=["eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9..."])]
    expires_in: Annotated[int, Meta(examples=[900])]
    scope: Annotated[str, Meta(examples=["orders:read products:write"])]
    token_type: str = "Bearer"  # noqa: S105  # a token type, no token
