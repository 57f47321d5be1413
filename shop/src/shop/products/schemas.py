from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from restwell.errors import FieldError, Invalid
from restwell.fields import Instant, MultiLineText, SingleLineText
from restwell.pages import PageFilter
from shop.schema import MAX_AMOUNT, Cents, Count, Currency, Slug

ProductName = Annotated[SingleLineText, Meta(examples=["Aurora Wireless Headphones"])]
Description = Annotated[MultiLineText, Meta(examples=["Over-ear, 40 hours of battery, folds flat."])]


class Product(Struct, frozen=True):
    id: UUID
    name: Annotated[str, Meta(examples=["Aurora Wireless Headphones"])]
    description: Annotated[str, Meta(examples=["Over-ear, 40 hours of battery, folds flat."])]
    category: Annotated[str, Meta(examples=["audio"])]
    price_cents: Annotated[int, Meta(examples=[12_900], description="In the minor unit of the currency.")]
    currency: Annotated[str, Meta(examples=["EUR"])]
    stock: Annotated[int, Meta(examples=[25])]
    version: Annotated[int, Meta(examples=[1], description="Incremented with every change. Determines the ETag.")]
    created_at: Instant
    updated_at: Instant


class PartialProduct(Struct, frozen=True):
    """A product with the fields requested by `fields`."""

    id: UUID | UnsetType = UNSET
    name: Annotated[str, Meta(examples=["Aurora Wireless Headphones"])] | UnsetType = UNSET
    description: Annotated[str, Meta(examples=["Over-ear, 40 hours of battery, folds flat."])] | UnsetType = UNSET
    category: Annotated[str, Meta(examples=["audio"])] | UnsetType = UNSET
    price_cents: Annotated[int, Meta(examples=[12_900])] | UnsetType = UNSET
    currency: Annotated[str, Meta(examples=["EUR"])] | UnsetType = UNSET
    stock: Annotated[int, Meta(examples=[25])] | UnsetType = UNSET
    version: Annotated[int, Meta(examples=[1])] | UnsetType = UNSET
    created_at: Instant | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET


class ProductCreateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: ProductName
    category: Slug
    price_cents: Cents
    currency: Currency
    stock: Count
    description: Description = ""


class ProductUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: ProductName | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    category: Slug | UnsetType = UNSET
    price_cents: Cents | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    stock: Count | UnsetType = UNSET


class ProductSort(StrEnum):
    """The sort key; a leading minus sorts in descending order."""

    OLDEST = "created_at"
    NEWEST = "-created_at"
    CHEAPEST = "price_cents"
    MOST_EXPENSIVE = "-price_cents"
    A_TO_Z = "name"
    Z_TO_A = "-name"

    @property
    def column(self) -> str:
        return self.value.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.value.startswith("-")


FIELDS = "Comma-separated list of the product fields to return."
_SEARCH = "Full-text search in name and description. All words must match, as prefixes."


class ProductFilters(PageFilter, frozen=True, kw_only=True):
    """The filters of every version."""

    category: Slug | None = None
    q: Annotated[str, Meta(min_length=1, max_length=100, examples=["wireless"], description=_SEARCH)] | None = None
    min_price: Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[1_000], description="In minor units.")] | None = None
    max_price: Annotated[int, Meta(ge=0, le=MAX_AMOUNT, examples=[50_000], description="In minor units.")] | None = None


class ProductFilter(ProductFilters, frozen=True, kw_only=True):
    sort: ProductSort = ProductSort.NEWEST
    fields: Annotated[str, Meta(max_length=200, examples=["id,name,price_cents"], description=FIELDS)] | None = None


def parse_fields(fields: str, kind: type[Struct]) -> tuple[str, ...]:
    """The names of fields of ``kind``, in their order. Raises Invalid for an unknown one."""
    known = kind.__struct_fields__
    names = dict.fromkeys(name.strip() for name in fields.split(","))
    if unknown := [name for name in names if name not in known]:
        raise Invalid(
            errors=[FieldError("fields", f"unknown field {name!r}; fields: {', '.join(known)}") for name in unknown]
        )
    return tuple(sorted(names, key=known.index))
