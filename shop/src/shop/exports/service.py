from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from restwell.auth import Actor
from restwell.database import Database
from restwell.pages import Page, PageFilter
from shop.access import Role
from shop.audit.models import SecurityEventType
from shop.audit.service import AuditLog

PAGE_SIZE: Final = 100
_encode: Final = msgspec.json.Encoder().encode

ReadValue = Callable[[Actor], Awaitable[Any]]
ReadPage = Callable[[Actor, PageFilter], Awaitable[Page[Any]]]


class ExportService:
    """Other features contribute the members of the document: ``values`` are small, ``lists`` are read page by page.

    Each is called with a customer, and returns only the data of this user.
    """

    def __init__(
        self, database: Database, audit: AuditLog, *, values: Mapping[str, ReadValue], lists: Mapping[str, ReadPage]
    ) -> None:
        self._database = database
        self._audit = audit
        self._values = values
        self._lists = lists

    async def export(self, actor: Actor) -> AsyncIterator[bytes]:
        """Stream a PersonalDataExport as JSON. At most one page of each list is in memory."""
        owner = msgspec.structs.replace(actor, role=Role.CUSTOMER)  # an admin's own data, not that of all users
        values = {name: await read(owner) for name, read in self._values.items()}
        async with self._database.transaction() as tx:
            await self._audit.record(tx, SecurityEventType.DATA_EXPORTED, owner.id)
        return self._chunks(owner, values)

    async def _chunks(self, owner: Actor, values: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _encode(values)[:-1]
        for name, read in self._lists.items():
            async for chunk in _list(name, _pages(owner, read)):
                yield chunk
        yield b"}"


async def _pages(owner: Actor, read: ReadPage) -> AsyncIterator[list[Any]]:
    cursor = None
    while True:
        page = await read(owner, PageFilter(limit=PAGE_SIZE, cursor=cursor))
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
