"""HTTP of the audit log."""

from restwell.auth import Actor
from restwell.errors import InvalidCursor
from restwell.web import ApiRequest, Controller, Inject, Page, Response, get, paged, signed_in_or_scope
from shop.audit.schemas import SecurityEvent, SecurityEventFilter
from shop.audit.service import AuditLog
from shop.clients.models import Scope


class AuditController(Controller):
    path = "/security-events"
    tags = ["Security"]
    audit: AuditLog

    @get(guards=[signed_in_or_scope(Scope.EVENTS_READ)], errors=[InvalidCursor])
    async def list_security_events(
        self, request: ApiRequest, actor: Inject[Actor], filters: Inject[SecurityEventFilter]
    ) -> Response[Page[SecurityEvent]]:
        """List what happened to your account, newest first.

        Sign-ins, also those that failed, new passwords, devices that were signed out. An admin sees everyone's.
        """
        return paged(request, await self.audit.list_events(actor, filters))
