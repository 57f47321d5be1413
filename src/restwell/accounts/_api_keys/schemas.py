from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell.fields import Instant, SingleLineText

SCOPES_META: Final = Meta(min_length=1, max_length=20, description="Grant as few scopes as possible.")
_NEVER: Final = "Default: the key is valid until it is revoked."


class ApiKeyCreateRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[SingleLineText, Meta(examples=["Backup script"])]
    scopes: Annotated[list[str], SCOPES_META]
    expires_at: Annotated[Instant | None, Meta(description=_NEVER, examples=["2100-01-31T09:30:00Z"])] = None


class ApiKey(Struct, frozen=True):
    """``last_used_at`` is accurate to two minutes."""

    id: UUID
    name: Annotated[str, Meta(examples=["Backup script"])]
    start: Annotated[str, Meta(description="The first characters of the key.", examples=["rwk_7Hq2x"])]
    scopes: list[str]
    created_at: Instant
    last_used_at: Instant | None
    expires_at: Instant | None


class ApiKeyWithSecret(ApiKey, frozen=True):
    """``key`` is returned only once."""

    key: Annotated[str, Meta(examples=["rwk_7Hq2x..."])]


class ApiKeyList(Struct, frozen=True):
    items: list[ApiKey]
