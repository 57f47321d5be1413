from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from restwell.database import param, query
from shop.mfa.models import mfa_enrolments, recovery_codes


class StoredEnrolment(Struct, frozen=True):
    encrypted_secret: str
    confirmed_at: datetime | None


_of_user: Final = mfa_enrolments.c.user_id == param("match_user_id")
_row: Final = {"user_id": param("user_id"), "encrypted_secret": param("encrypted_secret"), "last_timestep": 0}
_replacement: Final = {"encrypted_secret": param("encrypted_secret"), "last_timestep": 0}

of_user: Final = query(
    "mfa.of_user",
    select(mfa_enrolments.c.encrypted_secret, mfa_enrolments.c.confirmed_at).where(
        mfa_enrolments.c.user_id == param("id")
    ),
    into=StoredEnrolment,
)
start: Final = query(
    "mfa.start_enrolment",
    {
        "postgresql": postgresql.insert(mfa_enrolments)
        .values(_row)
        .on_conflict_do_update(
            index_elements=["user_id"], set_=_replacement, where=mfa_enrolments.c.confirmed_at.is_(None)
        ),
        "sqlite": sqlite.insert(mfa_enrolments)
        .values(_row)
        .on_conflict_do_update(
            index_elements=["user_id"], set_=_replacement, where=mfa_enrolments.c.confirmed_at.is_(None)
        ),
    },
)
confirm: Final = query(
    "mfa.confirm_enrolment",
    update(mfa_enrolments)
    .where(_of_user, mfa_enrolments.c.confirmed_at.is_(None))
    .values(confirmed_at=param("now"), last_timestep=param("timestep")),
)
use_timestep: Final = query(
    "mfa.use_timestep",
    update(mfa_enrolments)
    .where(_of_user, mfa_enrolments.c.last_timestep < param("timestep"))
    .values(last_timestep=param("timestep")),
)
delete_enrolment: Final = query("mfa.delete_enrolment", delete(mfa_enrolments).where(_of_user))
insert_code: Final = query(
    "recovery_codes.insert",
    insert(recovery_codes).values(code_hash=param("code_hash"), user_id=param("user_id")),
)
use_code: Final = query(
    "recovery_codes.use",
    delete(recovery_codes)
    .where(recovery_codes.c.code_hash == param("match_hash"), recovery_codes.c.user_id == param("match_user_id"))
    .returning(recovery_codes.c.user_id),
    into=UUID,
)
delete_codes: Final = query(
    "recovery_codes.delete_all", delete(recovery_codes).where(recovery_codes.c.user_id == param("match_user_id"))
)
count_codes: Final = query(
    "recovery_codes.count",
    select(func.count().label("n")).select_from(recovery_codes).where(recovery_codes.c.user_id == param("id")),
    into=int,
)
