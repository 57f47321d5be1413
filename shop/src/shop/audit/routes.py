from restwell.auth import Actor
from restwell.pages import Page
from restwell.web import Controller, get, signed_in_or_scope
from shop.access import Scope
from shop.audit.schemas import SecurityEvent, SecurityEventFilter
from shop.audit.service import AuditLog


class AuditController(Controller):
    path = "/security-events"
    tags = ["Security"]

    @get(guards=[signed_in_or_scope(Scope.EVENTS_READ)])
    async def list_security_events(
        self, actor: Actor, filters: SecurityEventFilter, audit: AuditLog
    ) -> Page[SecurityEvent]:
        """List security events, newest first.

        Examples are sign-ins, failed sign-ins, password changes and revoked sessions. Customers see the events of their
        own account; admins, and OAuth clients with the scope `events:read`, see those of all accounts.
        """
        return await audit.list_events(actor, filters)
