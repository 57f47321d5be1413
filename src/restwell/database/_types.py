"""Column types that behave the same on both databases, and their conversions for SQLite.

PostgreSQL's driver supports UUID and timestamptz. SQLite stores an id as 16 bytes and a time as microseconds since the
Unix epoch (UTC). Both keep their sort order and take half the space of text. SQLite stores a date as its ISO text.
"""

from array import array
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import apsw
from sqlalchemy import ARRAY, BigInteger, Boolean, Date, DateTime, Float, Integer, LargeBinary, Uuid
from sqlalchemy.types import TypeEngine

Id: Final = Uuid().with_variant(LargeBinary(16), "sqlite")
Timestamp: Final = DateTime(timezone=True).with_variant(BigInteger(), "sqlite")
Flag: Final = Boolean(create_constraint=False)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _id_from_sqlite(value: bytes) -> UUID:
    return UUID(bytes=value)


def _id_to_sqlite(value: UUID) -> bytes:
    return value.bytes


def _time_from_sqlite(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _time_to_sqlite(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def from_sqlite(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """The conversion of a result column of this type, or None if it needs none."""
    if isinstance(kind, Uuid):
        return _id_from_sqlite
    if isinstance(kind, DateTime):
        return _time_from_sqlite
    if isinstance(kind, Date):
        return date.fromisoformat
    return bool if isinstance(kind, Boolean) else None


def to_sqlite(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """The conversion of a parameter of this type, or None if it needs none."""
    if isinstance(kind, ARRAY):
        return _array_to_sqlite(kind.item_type)
    if isinstance(kind, Uuid):
        return _id_to_sqlite
    if isinstance(kind, Date):
        return date.isoformat
    return _time_to_sqlite if isinstance(kind, DateTime) else None


def _array_to_sqlite(kind: TypeEngine[Any]) -> Callable[[Iterable[Any]], Any]:
    """SQLite's carray extension takes numbers as one block of memory, texts and blobs as a tuple."""
    convert = to_sqlite(kind)
    numbers = "q" if isinstance(kind, (Integer, DateTime, Boolean)) else "d" if isinstance(kind, Float) else None

    def bind(values: Iterable[Any]) -> Any:
        converted = map(convert, values) if convert is not None else values
        return apsw.carray(array(numbers, converted) if numbers is not None else tuple(converted))

    return bind
