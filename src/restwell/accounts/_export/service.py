from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from restwell import _api_version
from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._options import AccountOptions
from restwell.accounts._personal_data import PersonalList, PersonalValue
from restwell.auth import Actor
from restwell.database import Database
from restwell.database._instrumentation import stop_counting
from restwell.pages import PageFilter

PAGE_SIZE: Final = 100
_encode: Final = msgspec.json.Encoder().encode


class ExportService:
    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        values: Sequence[PersonalValue],
        lists: Sequence[PersonalList],
        options: AccountOptions,
    ) -> None:
        self._database = database
        self._audit = audit
        self._values = values
        self._lists = lists
        self._default_role = options.default_role

    async def export(self, actor: Actor) -> AsyncIterator[bytes]:
        """Stream a PersonalDataExport as JSON. At most one page of each list is in memory."""
        stop_counting()  # a list is read page by page
        owner = msgspec.structs.replace(actor, role=self._default_role)  # an admin's own data, not that of all users
        values = {each.member: await each.read_personal_value(owner) for each in self._values}
        async with self._database.transaction() as tx:
            await self._audit.record(tx, SecurityEventType.DATA_EXPORTED, owner.id)
        return self._chunks(owner, values)

    async def _chunks(self, owner: Actor, values: dict[str, Any]) -> AsyncIterator[bytes]:
        yield _encode(values)[:-1]
        for each in self._lists:
            async for chunk in _list(each.member, _pages(owner, each)):
                yield chunk
        yield b"}"


async def _pages(owner: Actor, contribution: PersonalList) -> AsyncIterator[list[Any]]:
    cursor = None
    while True:
        page = await contribution.read_personal_page(owner, PageFilter(limit=PAGE_SIZE, cursor=cursor))
        yield _api_version.current.get().show(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return


async def _list(name: str, pages: AsyncIterator[list[Any]]) -> AsyncIterator[bytes]:
    separator = f',"{name}":['.encode()
    async for items in pages:
        yield separator + _encode(items)[1:-1]
        separator = b","
    yield b"]"
