"""The demo catalogue and accounts of a development database. The data is deterministic."""

import random
from collections.abc import Iterator, Sequence
from csv import DictReader
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from restwell.accounts import SeedUser, seed_users
from restwell.database import Database
from shop.access import Role
from shop.products.demo import insert_products

PASSWORD: Final = "demo-password-2026"  # noqa: S105  # a documented development password
ACCOUNTS: Final = (
    SeedUser("admin@shop.example", "Demo Admin", Role.ADMIN),
    SeedUser("customer1@shop.example", "Demo Customer One", Role.CUSTOMER),
    SeedUser("customer2@shop.example", "Demo Customer Two", Role.CUSTOMER),
)
PRODUCTS: Final = 1_000
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
BRANDS: Final = (
    "Aurora", "Birch", "Calder", "Dunlin", "Ember", "Fathom", "Glint", "Harrow", "Isla", "Juniper", "Kestrel", "Lumen",
    "Marlow", "Nimbus", "Orchard", "Pebble", "Quill", "Rowan", "Solis", "Tern",
)  # fmt: skip
STYLES: Final = ("Classic", "Compact", "Everyday", "Light", "Max", "Mini", "Plus", "Pro", "Studio", "Travel")


async def seed(database: Database) -> str:
    """Insert missing demo accounts, and the catalogue if there are no products. Idempotent. Returns a summary."""
    await seed_users(database, ACCOUNTS, PASSWORD)
    return f"{await insert_products(database, catalogue()):,} products"


def banner() -> str:
    return f"log in as customer1@shop.example / {PASSWORD}  (or admin@shop.example)"


def catalogue() -> Iterator[dict[str, Any]]:
    """Yield the same 1,000 product rows on every call, evenly distributed over the categories."""
    rng = random.Random(2026)  # noqa: S311  # chooses demo data, no secret
    names = {category: _names(list(kinds), rng) for category, kinds in groupby(_kinds(), itemgetter("category"))}
    for number in range(PRODUCTS):
        category = list(names)[number % len(names)]
        name, kind = next(names[category])
        created_at = _START + timedelta(hours=7 * number)
        yield {
            "id": _id(created_at, number),
            "name": name,
            "description": f"{'. '.join(rng.sample(kind['facts'].split('. '), 2))}.",
            "category": category,
            "price_cents": rng.randint(int(kind["low"]), int(kind["high"])) * 100 - rng.choice((1, 5, 10, 100)),
            "currency": "EUR",
            "stock": rng.randint(20, 400),
            "version": 1,
            "created_at": created_at,
            "updated_at": created_at,
        }


def _kinds() -> list[dict[str, str]]:
    """The product types by category: noun, price range in whole euros, and sentences for the description."""
    with Path(__file__).with_name("demo.csv").open(encoding="utf-8", newline="") as file:
        return list(DictReader(file))


def _names(kinds: Sequence[dict[str, str]], rng: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    names = [(f"{brand} {style} {kind['noun']}", kind) for brand in BRANDS for style in STYLES for kind in kinds]
    return iter(rng.sample(names, len(names)))


def _id(created_at: datetime, number: int) -> UUID:
    """A deterministic UUIDv7."""
    return UUID(int=int(created_at.timestamp() * 1_000) << 80 | 0x7 << 76 | 0x8 << 60 | number)
