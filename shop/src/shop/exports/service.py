from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec

from restwell.auth import Actor
from restwell.database import Database
from restwell.web import Page, PageFilter
from shop.access import Role
from shop.audit.models import SecurityEventType
from shop.audit.schemas import SecurityEventFilter
from shop.audit.service import AuditLog
from shop.identities.service import IdentityService
from shop.orders.service import OrderService
from shop.sessions.service import SessionService
from shop.users.service import UserService

PAGE_SIZE: Final = 100
_encode: Final = msgspec.json.Encoder().encode


class ExportService:
    def __init__(
        self,
        database: Database,
        users: UserService,
        identities: IdentityService,
        sessions: SessionService,
        orders: OrderService,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._users = users
        self._identities = identities
        self._sessions = sessions
        self._orders = orders
        self._audit = audit

    async def export(self, actor: Actor) -> AsyncIterator[bytes]:
        """Stream a PersonalDataExport as JSON. At most one page of each list is in memory."""
        owner = msgspec.structs.replace(actor, role=Role.CUSTOMER)  # an admin's own data, not that of all users
        account = await self._users.get_user(owner.id)
        identities = await self._identities.list_identities(owner)
        sessions = await self._sessions.list_sessions(owner)
        async with self._database.transaction() as tx:
            await self._audit.record(tx, SecurityEventType.DATA_EXPORTED, owner.id)
        return self._chunks(owner, {"account": account, "identities": identities, "sessions": sessions})

    async def _chunks(self, owner: Actor, head: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _encode(head)[:-1]
        orders = self._pages(lambda cursor: self._orders.list_orders(owner, PageFilter(limit=PAGE_SIZE, cursor=cursor)))
        async for chunk in _list("orders", orders):
            yield chunk
        events = self._pages(
            lambda cursor: self._audit.list_events(owner, SecurityEventFilter(limit=PAGE_SIZE, cursor=cursor))
        )
        async for chunk in _list("security_events", events):
            yield chunk
        yield b"}"

    async def _pages(self, read: Callable[[str | None], Awaitable[Page[Any]]]) -> AsyncIterator[list[Any]]:
        cursor = None
        while True:
            page = await read(cursor)
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return


async def _list(name: str, pages: AsyncIterator[list[Any]]) -> AsyncIterator[bytes]:
    separator = f',"{name}":['.encode()
    async for items in pages:
        yield separator + _encode(items)[1:-1]
        separator = b","
    yield b"]"
