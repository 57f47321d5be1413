"""Products of version 2: a price has an amount and a currency."""

from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from restwell.fields import Instant
from shop.products import schemas as v1
from shop.products.schemas import FIELDS, Description, ProductFilters, ProductName, parse_fields
from shop.schema import Cents, Count, Currency, Money, Slug


class PriceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    amount: Cents
    currency: Currency


class PriceUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    amount: Cents | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET


class Product(Struct, frozen=True):
    id: UUID
    name: Annotated[str, Meta(examples=["Aurora Wireless Headphones"])]
    description: Annotated[str, Meta(examples=["Over-ear, 40 hours of battery, folds flat."])]
    category: Annotated[str, Meta(examples=["audio"])]
    price: Money
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
    price: Money | UnsetType = UNSET
    stock: Annotated[int, Meta(examples=[25])] | UnsetType = UNSET
    version: Annotated[int, Meta(examples=[1])] | UnsetType = UNSET
    created_at: Instant | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET


class ProductCreateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: ProductName
    category: Slug
    price: PriceRequest
    stock: Count
    description: Description = ""


class ProductUpdateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    name: ProductName | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    category: Slug | UnsetType = UNSET
    price: PriceUpdateRequest | UnsetType = UNSET
    stock: Count | UnsetType = UNSET


class ProductSort(StrEnum):
    """The sort key; a leading minus sorts in descending order."""

    OLDEST = "created_at"
    NEWEST = "-created_at"
    CHEAPEST = "price"
    MOST_EXPENSIVE = "-price"
    A_TO_Z = "name"
    Z_TO_A = "-name"


class ProductFilter(ProductFilters, frozen=True, kw_only=True):
    sort: ProductSort = ProductSort.NEWEST
    fields: Annotated[str, Meta(max_length=200, examples=["id,name,price"], description=FIELDS)] | None = None


def read_new(request: ProductCreateRequest) -> v1.ProductCreateRequest:
    return v1.ProductCreateRequest(
        price_cents=request.price.amount, currency=request.price.currency, **_without(request, "price")
    )


def read_changes(request: ProductUpdateRequest) -> v1.ProductUpdateRequest:
    price = request.price or PriceUpdateRequest()
    return v1.ProductUpdateRequest(price_cents=price.amount, currency=price.currency, **_without(request, "price"))


def read_filter(filters: ProductFilter) -> v1.ProductFilter:
    """Raises Invalid for an unknown field."""
    fields = filters.fields
    if fields is not None:
        fields = ",".join("price_cents,currency" if n == "price" else n for n in parse_fields(fields, Product))
    return v1.ProductFilter(
        sort=v1.ProductSort[filters.sort.name], fields=fields, **_without(filters, "sort", "fields")
    )


def show_product(product: v1.Product) -> Product:
    price = Money(product.price_cents, product.currency)
    return Product(price=price, **_without(product, "price_cents", "currency"))


def show_fields(product: v1.PartialProduct) -> PartialProduct:
    amount, currency = product.price_cents, product.currency
    price = UNSET if isinstance(amount, UnsetType) or isinstance(currency, UnsetType) else Money(amount, currency)
    return PartialProduct(price=price, **_without(product, "price_cents", "currency"))


def _without(value: Struct, *names: str) -> dict[str, Any]:
    return {name: field for name, field in asdict(value).items() if name not in names}


REQUESTS: Final = (read_new, read_changes, read_filter)
RESPONSES: Final = (show_product, show_fields)
