from restwell.accounts._audit.schemas import SecurityEvent, SecurityEventFilter
from restwell.accounts._audit.service import AuditLog
from restwell.auth import Actor
from restwell.pages import Page
from restwell.web import Controller, get


class AuditController(Controller):
    """Its guard allows users, and what has the scope of the application for it."""

    path = "/security-events"
    tags = ["Security"]

    @get()
    async def list_security_events(
        self, actor: Actor, filters: SecurityEventFilter, audit: AuditLog
    ) -> Page[SecurityEvent]:
        """List security events, newest first.

        Examples are sign-ins, failed sign-ins, password changes and revoked sessions. Users see the events of their own
        account; admins and OAuth clients see those of all accounts.
        """
        return await audit.list_events(actor, filters)
