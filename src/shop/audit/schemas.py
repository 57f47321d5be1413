"""What the audit log shows."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from restwell.web import PageFilter
from shop.audit.models import SecurityEventType
from shop.schema import Instant


class SecurityEvent(Struct, frozen=True):
    id: UUID
    occurred_at: Instant
    type: SecurityEventType
    user_id: Annotated[UUID | None, Meta(description="Whose account it is about; null where there is none.")]
    actor_id: Annotated[UUID | None, Meta(description="Who did it, if not the owner.")]
    ip_address: Annotated[str | None, Meta(examples=["203.0.113.7"])]
    detail: Annotated[str | None, Meta(examples=["role: admin"])]
    request_id: Annotated[str | None, Meta(description="The `X-Request-Id` of the request that did it.")]


class SecurityEventFilter(PageFilter, frozen=True, kw_only=True):
    user_id: Annotated[UUID, Meta(description="For an admin: of this account only.")] | None = None
