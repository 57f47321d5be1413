from typing import Final

from sqlalchemy import select

from restwell.accounts._audit.models import security_events
from restwell.accounts._audit.schemas import SecurityEvent
from restwell.database import columns_of, insert_row, page_query, param, query
from restwell.retention import delete_before

_shown: Final = columns_of(security_events, SecurityEvent)
_of_user: Final = security_events.c.user_id == param("user_id")

insert_event: Final = query("security_events.insert", insert_row(security_events))
page: Final = page_query(
    "security_events.page", select(*_shown), [security_events.c.id], SecurityEvent, descending=True
)
page_of_user: Final = page_query(
    "security_events.page_of_user",
    select(*_shown).where(_of_user),
    [security_events.c.id],
    SecurityEvent,
    descending=True,
)

delete_expired: Final = delete_before("security_events.delete_expired", security_events.c.id, security_events.c.id)
