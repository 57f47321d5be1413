import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    null,
    select,
    table,
    update,
)
from sqlalchemy import delete as sql_delete

from restwell.database import PageQuery, columns_of, insert_or_ignore, insert_row, page_query, param, query
from shop.products.models import products, reservations
from shop.products.schemas import Product, ProductSort

MAX_CATEGORIES: Final = 1_000
FIELDS: Final = Product.__struct_fields__
_columns: Final = columns_of(products, Product)
_by_product_id: Final = products.c.id == param("product_id")
_next_version: Final = products.c.version + 1
_words: Final = re.compile(r"[^\W_]+")


class ReservedProduct(Struct, frozen=True):
    name: str
    price_cents: int
    currency: str


class ProductVersion(Struct, frozen=True):
    version: int
    category: str


class ListShape(Struct, frozen=True):
    """The parts of a list request that determine the SQL text. Values are bound as parameters."""

    sort: ProductSort
    category: bool
    q: bool
    min_price: bool
    max_price: bool
    fields: tuple[str, ...] | None


by_id: Final = query(
    "products.by_id", select(*_columns).where(products.c.id == param("id")), into=Product, batch_on="id"
)

insert_product: Final = query("products.insert", insert_row(products, Product).returning(*_columns), into=Product)

lock: Final = query(
    "products.lock",
    select(products.c.version, products.c.category).where(_by_product_id).with_for_update(),
    into=ProductVersion,
)

update_product: Final = query(
    "products.update",
    update(products)
    .where(_by_product_id)
    .values(
        **{
            name: func.coalesce(param(name), products.c[name])
            for name in ("name", "description", "category", "price_cents", "currency", "stock")
        },
        version=_next_version,
        updated_at=param("now"),
    )
    .returning(*_columns),
    into=Product,
)

delete: Final = query("products.delete", sql_delete(products).where(_by_product_id))

reserve_stock: Final = query(
    "products.reserve_stock",
    update(products)
    .where(_by_product_id, products.c.stock >= param("quantity"))
    .values(stock=products.c.stock - param("quantity"), version=_next_version, updated_at=param("now"))
    .returning(products.c.name, products.c.price_cents, products.c.currency),
    into=ReservedProduct,
)

release_stock: Final = query(
    "products.release_stock",
    update(products)
    .where(_by_product_id)
    .values(stock=products.c.stock + param("quantity"), version=_next_version, updated_at=param("now")),
)

name_of: Final = query("products.name_of", select(products.c.name).where(products.c.id == param("id")), into=str)

_reservation: Final = reservations.c.id == param("match_id")

insert_reservation: Final = query(
    "reservations.insert", insert_or_ignore(reservations, returning=[reservations.c.id]), into=UUID
)

reserved_lines: Final = query(
    "reservations.lines", select(reservations.c.lines).where(reservations.c.id == param("id")), into=str
)

set_lines: Final = query(
    "reservations.set_lines", update(reservations).where(_reservation).values(lines=param("lines"))
)

confirm_reservation: Final = query(
    "reservations.confirm", update(reservations).where(_reservation).values(expires_at=null())
)

delete_reservation: Final = query(
    "reservations.delete", sql_delete(reservations).where(_reservation).returning(reservations.c.lines), into=str
)

_has_expired: Final = reservations.c.expires_at < param("now")

delete_expired_reservations: Final = query(
    "reservations.delete_expired",
    sql_delete(reservations)
    .where(
        reservations.c.id.in_(
            select(reservations.c.id).where(_has_expired).order_by(reservations.c.expires_at).limit(100)
        ),
        _has_expired,  # again, for one that was confirmed meanwhile
    )
    .returning(reservations.c.lines),
    into=str,
)


def _categories() -> Select[Any]:
    """One index lookup for each category, where DISTINCT would read all products."""
    first = select(func.min(products.c.category).label("category")).cte("categories", recursive=True)
    following = select(func.min(products.c.category)).where(products.c.category > first.c.category).scalar_subquery()
    every = first.union_all(select(following).where(first.c.category.is_not(None)))
    return (
        select(every.c.category).where(every.c.category.is_not(None)).order_by(every.c.category).limit(MAX_CATEGORIES)
    )


categories: Final = query("products.categories", _categories(), into=str)


@lru_cache(maxsize=512)
def page(shape: ListShape) -> PageQuery[Any]:
    """Build the list query. Rows are Products; with ``fields``, dicts of these fields and the cursor columns."""
    names = FIELDS if shape.fields is None else tuple(dict.fromkeys((*shape.fields, shape.sort.column, "id")))
    statement = select(*(products.c[name] for name in names))
    if shape.category:
        statement = statement.where(products.c.category == param("category"))
    if shape.min_price:
        statement = statement.where(products.c.price_cents >= param("min_price"))
    if shape.max_price:
        statement = statement.where(products.c.price_cents <= param("max_price"))
    return page_query(
        "products.page",
        _searched(statement) if shape.q else statement,
        [products.c[shape.sort.column], products.c.id],
        Product if shape.fields is None else dict,
        descending=shape.sort.descending,
        batch_on=None if shape.q or shape.min_price or shape.max_price else ["category"] * shape.category,
    )


def every_page() -> Iterator[PageQuery[Any]]:
    """Yield the list in every combination of sort order and filters."""
    for sort, (category, q, min_price, max_price) in product(ProductSort, product((False, True), repeat=4)):
        yield page(ListShape(sort, category=category, q=q, min_price=min_price, max_price=max_price, fields=None))


def search_text(dialect: str, q: str) -> str | None:
    """Convert ``q`` to the full-text query syntax of the database: all words must match, as prefixes.

    Returns None if ``q`` has no words. Only letters and digits are passed on.
    """
    words = _words.findall(q.lower())
    if not words:
        return None
    return " & ".join(f"{word}:*" for word in words) if dialect == "postgresql" else " ".join(f'"{w}"*' for w in words)


def _searched(statement: Select[Any]) -> dict[str, Select[Any]]:
    text = bindparam("q", type_=Text(), required=True)
    index = table("products_search", column("rowid"))
    found = select(index.c.rowid).where(literal_column("products_search").op("MATCH")(text))
    on_postgresql: ColumnElement[bool] = literal_column("products.search").op("@@", is_comparison=True)(
        func.to_tsquery(literal_column("'simple'"), text)
    )
    return {
        "postgresql": statement.where(on_postgresql),
        "sqlite": statement.where(literal_column("products.search_id").in_(found)),
    }
