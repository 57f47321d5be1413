from restwell.auth import Actor
from restwell.errors import InvalidCursor
from restwell.pages import Page
from restwell.web import ApiRequest, Controller, Inject, Response, get, paged, signed_in_or_scope
from shop.access import Scope
from shop.audit.schemas import SecurityEvent, SecurityEventFilter
from shop.audit.service import AuditLog


class AuditController(Controller):
    path = "/security-events"
    tags = ["Security"]
    audit: AuditLog

    @get(guards=[signed_in_or_scope(Scope.EVENTS_READ)], errors=[InvalidCursor])
    async def list_security_events(
        self, request: ApiRequest, actor: Inject[Actor], filters: Inject[SecurityEventFilter]
    ) -> Response[Page[SecurityEvent]]:
        """List security events, newest first.

        Examples are sign-ins, failed sign-ins, password changes and revoked sessions. Customers see the events of their
        own account; admins, and OAuth clients with the scope `events:read`, see those of all accounts.
        """
        return paged(request, await self.audit.list_events(actor, filters))
