"""The SQLAlchemy metadata, and the field types of the shop."""

from typing import Annotated, Final, Generic, TypeVar

from msgspec import Meta, Struct
from sqlalchemy import MetaData

from restwell.fields import anchored

T = TypeVar("T")

metadata: Final = MetaData()

MAX_AMOUNT: Final = 1_000_000_000

Slug = Annotated[str, Meta(pattern=anchored(r"[a-z0-9]+(?:-[a-z0-9]+)*"), max_length=40, examples=["audio"])]
Currency = Annotated[str, Meta(pattern=anchored(r"[A-Z]{3}"), examples=["EUR"], description="ISO 4217.")]
Cents = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[12_900], description="In the currency's minor unit.")]
Count = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[25])]


class Money(Struct, frozen=True):
    amount: Annotated[int, Meta(examples=[12_900], description="In the minor unit of the currency.")]
    currency: Annotated[str, Meta(examples=["EUR"])]


class Listing(Struct, Generic[T], frozen=True):
    """A page of a list in version 2. ``next`` is the URL of the next page; null on the last page."""

    data: list[T]
    next: Annotated[str, Meta(examples=["/v2/products?cursor=WyIyMDI2"])] | None
