from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from restwell.accounts._audit.models import SecurityEventType
from restwell.fields import Instant
from restwell.pages import PageFilter


class SecurityEvent(Struct, frozen=True):
    id: UUID
    occurred_at: Instant
    type: SecurityEventType
    user_id: Annotated[
        UUID | None, Meta(description="The account that the event is about. Null for events without an account.")
    ]
    actor_id: Annotated[
        UUID | None, Meta(description="The user who caused the event, if not the owner of the account.")
    ]
    ip_address: Annotated[str | None, Meta(examples=["203.0.113.7"])]
    detail: Annotated[str | None, Meta(examples=["role: editor"])]
    request_id: Annotated[str | None, Meta(description="The `X-Request-Id` of the request.")]


class SecurityEventFilter(PageFilter, frozen=True, kw_only=True):
    user_id: Annotated[UUID, Meta(description="Only events of this account, if you may see all.")] | None = None
