"""Column types that behave the same on both databases, and their conversions for SQLite.

PostgreSQL's driver supports UUID and timestamptz. SQLite stores an id as 16 bytes and a time as microseconds since the
Unix epoch (UTC). Both keep their sort order and take half the space of text. SQLite stores a date as its ISO text.
"""

from array import array
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from operator import floordiv, mod, mul, truediv
from typing import Any, Final
from uuid import UUID

import apsw
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.types import TypeEngine

Id: Final = Uuid().with_variant(LargeBinary(16), "sqlite")
Timestamp: Final = DateTime(timezone=True).with_variant(BigInteger(), "sqlite")
Flag: Final = Boolean(create_constraint=False)


class FixedPoint(TypeDecorator[Decimal]):
    """Exact decimal numbers of at most ``precision`` digits, of which ``scale`` after the point.

    PostgreSQL has the type NUMERIC. SQLite has no exact one and stores an integer: 12.50 as 1250. So both compare, sort
    and add exactly. Both round half away from zero, and raise an error for a number with more digits. SQL multiplies
    and divides by integers only. Raises ValueError for more than 18 digits.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        if not 0 <= scale <= precision <= 18:  # those of a 64-bit integer
            raise ValueError(f"FixedPoint({precision}, {scale}): write at most 18 digits, some of them after the point")
        super().__init__(precision, scale)
        self.precision, self.scale = precision, scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = BigInteger() if dialect.name == "sqlite" else Numeric(self.precision, self.scale)
        return dialect.type_descriptor(kind)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        if op not in _FACTORS:
            return self
        return Integer() if isinstance(value, int) else Numeric()

    def to_sqlite(self, value: Decimal) -> int:
        number = int(Decimal(value).scaleb(self.scale).to_integral_value(ROUND_HALF_UP))
        if abs(number) >= 10**self.precision:
            raise OverflowError(f"{value} has more digits than FixedPoint({self.precision}, {self.scale})")
        return number

    def from_sqlite(self, value: int) -> Decimal:
        return Decimal(value).scaleb(-self.scale)


_FACTORS: Final = {floordiv, mod, mul, truediv}
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
    if isinstance(kind, FixedPoint):
        return kind.from_sqlite
    return bool if isinstance(kind, Boolean) else None


def to_sqlite(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """The conversion of a parameter of this type, or None if it needs none."""
    if isinstance(kind, ARRAY):
        return _array_to_sqlite(kind.item_type)
    if isinstance(kind, Uuid):
        return _id_to_sqlite
    if isinstance(kind, Date):
        return date.isoformat
    if isinstance(kind, FixedPoint):
        return kind.to_sqlite
    return _time_to_sqlite if isinstance(kind, DateTime) else None


def _array_to_sqlite(kind: TypeEngine[Any]) -> Callable[[Iterable[Any]], Any]:
    """SQLite's carray extension takes numbers as one block of memory, texts and blobs as a tuple."""
    convert = to_sqlite(kind)
    integers = (Integer, DateTime, Boolean, FixedPoint)
    numbers = "q" if isinstance(kind, integers) else "d" if isinstance(kind, Float) else None

    def bind(values: Iterable[Any]) -> Any:
        converted = map(convert, values) if convert is not None else values
        return apsw.carray(array(numbers, converted) if numbers is not None else tuple(converted))

    return bind
