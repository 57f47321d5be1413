"""The audit log of the accounts as the log of actions."""

from restwell.accounts import AuditLog, SecurityEventType
from restwell.auth import Actor
from restwell.database import Database
from restwell.ops._actions import ActionLog
from restwell.web import Request, client_info


class AuditedActions(ActionLog):
    """The audit log of the accounts as the action log."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database
        self._audit = audit

    async def record(self, actor: Actor, request: Request, detail: str) -> None:
        async with self._database.transaction() as tx:
            address = client_info(request).ip_address
            await self._audit.record(tx, SecurityEventType.OPERATION, actor.id, ip_address=address, detail=detail)
