"""Tables of the first release (pre-deploy)."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    Text,
    text,
)

from restwell.database import Id, Timestamp

revision = "0001"
down_revision = None

STATES = "('pending', 'paid', 'failed', 'cancelled')"

PRODUCT_INDEXES = {
    "products_by_created_at": ["created_at", "id"],
    "products_by_name": ["name", "id"],
    "products_by_price": ["price_cents", "id"],
    "products_by_category_and_created_at": ["category", "created_at", "id"],
    "products_by_category_and_name": ["category", "name", "id"],
    "products_by_category_and_price": ["category", "price_cents", "id"],
}


def upgrade() -> None:
    _products()
    _orders()


def _products() -> None:
    on_sqlite = op.get_context().dialect.name == "sqlite"
    # SQLite FTS5 needs a stable integer rowid. A table without an INTEGER PRIMARY KEY has none.
    row_number = [Column("search_id", Integer, primary_key=True)] if on_sqlite else []
    op.create_table(
        "products",
        *row_number,
        Column("id", Id, nullable=False, unique=on_sqlite, primary_key=not on_sqlite),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("category", Text, nullable=False),
        Column("price_cents", BigInteger, CheckConstraint("price_cents >= 0", name="products_price"), nullable=False),
        Column("currency", Text, nullable=False),
        Column("stock", Integer, CheckConstraint("stock >= 0", name="products_stock"), nullable=False),
        Column("version", Integer, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("updated_at", Timestamp, nullable=False),
    )
    for name, columns in PRODUCT_INDEXES.items():
        op.create_index(name, "products", columns)
    if on_sqlite:
        _search_on_sqlite()
    else:
        op.execute(
            "-- squawk-ignore adding-field-with-default\n"  # the table is new and empty
            "ALTER TABLE products ADD COLUMN search tsvector NOT NULL"
            " GENERATED ALWAYS AS (to_tsvector('simple', name || ' ' || description)) STORED"
        )
        op.execute("CREATE INDEX products_by_search ON products USING gin (search)")


def _search_on_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE products_search USING fts5("
        "name, description, content='products', content_rowid='search_id', tokenize='unicode61 remove_diacritics 0')"
    )
    add = "INSERT INTO products_search(rowid, name, description) VALUES (new.search_id, new.name, new.description);"
    drop = (
        "INSERT INTO products_search(products_search, rowid, name, description)"
        " VALUES ('delete', old.search_id, old.name, old.description);"
    )
    for event, steps in {
        "INSERT": add,
        "DELETE": drop,
        "UPDATE OF name, description": drop + add,
    }.items():
        name = f"products_search_{event.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON products BEGIN {steps} END")


def _orders() -> None:
    op.create_table(
        "orders",
        Column("user_id", Id, primary_key=True),
        Column("id", Id, primary_key=True),
        Column("status", Text, CheckConstraint(f"status IN {STATES}", name="orders_status"), nullable=False),
        Column("total_cents", BigInteger, nullable=False),
        Column("currency", Text, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("cancelled_at", Timestamp),
    )
    op.create_index("orders_by_id", "orders", ["id"])
    pending = text("status = 'pending'")
    op.create_index("orders_pending", "orders", ["id"], sqlite_where=pending, postgresql_where=pending)
    op.create_table(
        "order_lines",
        Column("user_id", Id, primary_key=True),
        Column("order_id", Id, primary_key=True),
        Column("position", Integer, primary_key=True),
        Column("product_id", Id, nullable=False),
        Column("name", Text, nullable=False),
        Column("unit_price_cents", BigInteger, nullable=False),
        Column("quantity", Integer, CheckConstraint("quantity > 0", name="order_lines_quantity"), nullable=False),
        ForeignKeyConstraint(["user_id", "order_id"], ["orders.user_id", "orders.id"]),
    )
    op.create_index("order_lines_by_order", "order_lines", ["order_id"])
