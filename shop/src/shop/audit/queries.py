from typing import Final

from sqlalchemy import select

from restwell.database import columns_of, insert_row, param, query
from shop.audit.models import security_events
from shop.audit.schemas import SecurityEvent
from shop.retention import delete_before

_shown: Final = columns_of(security_events, SecurityEvent)
_newest: Final = select(*_shown).order_by(security_events.c.id.desc()).limit(param("count"))
_of_user: Final = security_events.c.user_id == param("user_id")
_older: Final = security_events.c.id < param("before")

insert_event: Final = query("security_events.insert", insert_row(security_events))
first_page: Final = query("security_events.first_page", _newest, into=SecurityEvent)
next_page: Final = query("security_events.next_page", _newest.where(_older), into=SecurityEvent)
first_page_of_user: Final = query("security_events.first_page_of_user", _newest.where(_of_user), into=SecurityEvent)
next_page_of_user: Final = query(
    "security_events.next_page_of_user", _newest.where(_of_user, _older), into=SecurityEvent
)

delete_expired: Final = delete_before("security_events.delete_expired", security_events.c.id, security_events.c.id)
