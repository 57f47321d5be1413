"""SQL of second factors."""

from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from restwell.database import param, query
from shop.second_factors.models import recovery_codes, second_factors


class StoredFactor(Struct, frozen=True):
    sealed_secret: str
    confirmed_at: datetime | None


_its: Final = second_factors.c.user_id == param("owner_id")
_row: Final = {"user_id": param("user_id"), "sealed_secret": param("sealed_secret"), "last_step": 0}
_again: Final = {"sealed_secret": param("sealed_secret"), "last_step": 0}

of_user: Final = query(
    "second_factors.of_user",
    select(second_factors.c.sealed_secret, second_factors.c.confirmed_at).where(
        second_factors.c.user_id == param("id")
    ),
    into=StoredFactor,
)
begin: Final = query(
    "second_factors.begin",
    {
        "postgresql": postgresql.insert(second_factors)
        .values(_row)
        .on_conflict_do_update(index_elements=["user_id"], set_=_again, where=second_factors.c.confirmed_at.is_(None)),
        "sqlite": sqlite.insert(second_factors)
        .values(_row)
        .on_conflict_do_update(index_elements=["user_id"], set_=_again, where=second_factors.c.confirmed_at.is_(None)),
    },
)
confirm: Final = query(
    "second_factors.confirm",
    update(second_factors)
    .where(_its, second_factors.c.confirmed_at.is_(None))
    .values(confirmed_at=param("now"), last_step=param("step")),
)
use_step: Final = query(
    "second_factors.use_step",
    update(second_factors).where(_its, second_factors.c.last_step < param("step")).values(last_step=param("step")),
)
remove: Final = query("second_factors.remove", delete(second_factors).where(_its))
insert_code: Final = query(
    "recovery_codes.insert",
    insert(recovery_codes).values(code_hash=param("code_hash"), user_id=param("user_id")),
)
use_code: Final = query(
    "recovery_codes.use",
    delete(recovery_codes)
    .where(recovery_codes.c.code_hash == param("its_hash"), recovery_codes.c.user_id == param("owner_id"))
    .returning(recovery_codes.c.user_id),
    into=UUID,
)
remove_codes: Final = query(
    "recovery_codes.remove", delete(recovery_codes).where(recovery_codes.c.user_id == param("owner_id"))
)
count_codes: Final = query(
    "recovery_codes.count",
    select(func.count().label("n")).select_from(recovery_codes).where(recovery_codes.c.user_id == param("id")),
    into=int,
)
