from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, select, update

from restwell.accounts._mfa.models import mfa_enrolments, recovery_codes
from restwell.database import insert_row, param, query, upsert


class StoredEnrolment(Struct, frozen=True):
    encrypted_secret: str
    confirmed_at: datetime | None


_of_user: Final = mfa_enrolments.c.user_id == param("match_user_id")

of_user: Final = query(
    "mfa.of_user",
    select(mfa_enrolments.c.encrypted_secret, mfa_enrolments.c.confirmed_at).where(
        mfa_enrolments.c.user_id == param("id")
    ),
    into=StoredEnrolment,
)
start: Final = query(
    "mfa.start_enrolment",
    upsert(mfa_enrolments, where=mfa_enrolments.c.confirmed_at.is_(None), confirmed_at=None, last_timestep=0),
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
insert_code: Final = query("recovery_codes.insert", insert_row(recovery_codes))
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
