"""The SQLAlchemy metadata, and the field types of the shop."""

from typing import Annotated, Final

from msgspec import Meta
from sqlalchemy import MetaData

from restwell.fields import anchored

metadata: Final = MetaData()

MAX_AMOUNT: Final = 1_000_000_000

Slug = Annotated[str, Meta(pattern=anchored(r"[a-z0-9]+(?:-[a-z0-9]+)*"), max_length=40, examples=["audio"])]
Currency = Annotated[str, Meta(pattern=anchored(r"[A-Z]{3}"), examples=["EUR"], description="ISO 4217.")]
Cents = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[12_900], description="In the currency's minor unit.")]
Count = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[25])]
