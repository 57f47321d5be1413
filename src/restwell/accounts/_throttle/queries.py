from datetime import datetime
from typing import Final

from msgspec import Struct
from sqlalchemy import case, delete, select

from restwell.accounts._throttle.models import failed_attempts
from restwell.database import param, query, upsert
from restwell.retention import delete_before


class FailedAttempts(Struct, frozen=True):
    count: int
    last_failed_at: datetime


_increment: Final = {
    "count": case((failed_attempts.c.last_failed_at < param("reset_before"), 1), else_=failed_attempts.c.count + 1),
    "last_failed_at": param("now"),
}
by_key: Final = query(
    "login_throttle.by_key",
    select(failed_attempts.c.count, failed_attempts.c.last_failed_at).where(
        failed_attempts.c.key_hash == param("key_hash")
    ),
    into=FailedAttempts,
)
insert_failure: Final = query(
    "login_throttle.record_failure",
    upsert(failed_attempts, update=_increment, count=1, last_failed_at=param("now")),
)
reset: Final = query(
    "login_throttle.reset", delete(failed_attempts).where(failed_attempts.c.key_hash == param("key_hash"))
)

delete_expired: Final = delete_before(
    "login_throttle.delete_expired", failed_attempts.c.key_hash, failed_attempts.c.last_failed_at
)
