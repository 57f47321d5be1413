"""Tables of products and of reservations. The full-text index is created in a migration, per database."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Table, Text

from restwell.database import Id, Timestamp
from shop.schema import metadata

products = Table(
    "products",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("price_cents", BigInteger, CheckConstraint("price_cents >= 0", name="products_price"), nullable=False),
    Column("currency", Text, nullable=False),
    Column("stock", Integer, CheckConstraint("stock >= 0", name="products_stock"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    # One index per sort order, with and without a category: pages are read in index order, without sorting.
    Index("products_by_created_at", "created_at", "id"),
    Index("products_by_name", "name", "id"),
    Index("products_by_price", "price_cents", "id"),
    Index("products_by_category_and_created_at", "category", "created_at", "id"),
    Index("products_by_category_and_name", "category", "name", "id"),
    Index("products_by_category_and_price", "category", "price_cents", "id"),
    info={"compare": False},  # each database has its own column for the search: 0001_first_release.py
)

reservations = Table(
    "reservations",
    metadata,
    Column("id", Id, primary_key=True),  # that of the order
    Column("lines", Text, nullable=False),  # JSON
    Column("expires_at", Timestamp),  # null: confirmed
    Index("reservations_by_expiry", "expires_at"),
)
