"""The demo catalogue and accounts of a development database. The data is deterministic."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
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


class Kind(NamedTuple):
    """A product type: its noun, its price range in whole euros, and sentences for the description."""

    noun: str
    low: int
    high: int
    facts: str


BRANDS: Final = (
    "Aurora", "Birch", "Calder", "Dunlin", "Ember", "Fathom", "Glint", "Harrow", "Isla", "Juniper", "Kestrel", "Lumen",
    "Marlow", "Nimbus", "Orchard", "Pebble", "Quill", "Rowan", "Solis", "Tern",
)  # fmt: skip
STYLES: Final = ("Classic", "Compact", "Everyday", "Light", "Max", "Mini", "Plus", "Pro", "Studio", "Travel")

CATALOGUE: Final[dict[str, tuple[Kind, ...]]] = {
    "audio": (
        Kind(
            "Wireless Headphones", 59, 349, "Forty hours of battery. Folds flat into its case. Active noise cancelling"
        ),
        Kind(
            "Bluetooth Speaker",
            29,
            249,
            "Survives rain and sand. Pairs with a second one for stereo. Twelve hours of sound",
        ),
        Kind("Turntable", 129, 599, "Belt driven and quiet. Built-in phono stage. Aluminium platter"),
        Kind("USB Microphone", 49, 199, "Cardioid capsule. Mute button with a light. Sits on a desk or an arm"),
    ),
    "books": (
        Kind("Cookbook", 15, 45, "One hundred weekday recipes. Lies open flat on the counter. Index by ingredient"),
        Kind("Field Guide", 12, 38, "Drawn plates of every species. Fits a coat pocket. Range maps on each page"),
        Kind("City Notebook", 9, 24, "Numbered pages. Thread bound. Paper that takes fountain ink"),
        Kind(
            "Photography Handbook",
            19,
            59,
            "Light explained with examples. Exercises for a year. Printed in six colours",
        ),
    ),
    "computing": (
        Kind(
            "Mechanical Keyboard",
            69,
            229,
            "Hot-swappable switches. Keycaps that do not shine. Works by cable and wireless",
        ),
        Kind("USB-C Dock", 59, 299, "Two displays at sixty hertz. Charges with ninety watts. Wired network included"),
        Kind("27-inch Monitor", 189, 799, "Turns upright. Covers the whole sRGB range. Matte panel"),
        Kind("Portable SSD", 59, 329, "A gigabyte a second. Shrugs off a fall from a table. Encrypts in hardware"),
    ),
    "garden": (
        Kind("Pruning Shears", 15, 69, "Blade can be replaced. Cuts branches of a thumb's width. For either hand"),
        Kind("Raised Bed", 49, 249, "Untreated larch. Up in ten minutes without tools. Knee-high"),
        Kind("Watering Can", 12, 59, "Balanced when full. Brass rose. Galvanised inside and out"),
        Kind("Solar Lantern", 14, 79, "Lit until dawn after a grey day. Warm light. Hangs or stands"),
    ),
    "home": (
        Kind("Linen Bedding Set", 69, 249, "Washed for softness. Buttons of corozo. Woven from European flax"),
        Kind("Desk Lamp", 29, 189, "Dims without a flicker. Stays where it is put. Warm to daylight white"),
        Kind("Wool Throw", 39, 149, "Undyed wool. Fringed by hand. Warm without weight"),
        Kind("Wall Clock", 19, 119, "Sweeps without a tick. Readable across a room. Solid oak frame"),
    ),
    "kitchen": (
        Kind("Chef's Knife", 39, 219, "Forged in one piece. Holds its edge. Balanced at the bolster"),
        Kind("Cast Iron Pan", 29, 129, "Seasoned and ready. From hob to oven. Lasts for generations"),
        Kind("Burr Grinder", 49, 349, "Forty settings. Grinds cool and even. Quiet enough for mornings"),
        Kind("Stand Mixer", 149, 599, "Kneads two loaves at once. All metal gears. Bowl of five litres"),
    ),
    "outdoor": (
        Kind("Two-Person Tent", 99, 499, "Stands in four minutes. Dry at three thousand millimetres. Two porches"),
        Kind("Down Jacket", 89, 349, "Packs into its pocket. Responsibly sourced down. Warm to minus ten"),
        Kind("Trekking Backpack", 69, 279, "Carries forty litres. Rain cover included. Back panel adjusts"),
        Kind("Headlamp", 19, 99, "Charges by USB-C. Red light for the tent. Four hundred lumens"),
    ),
    "toys": (
        Kind("Wooden Train Set", 29, 129, "Fits the common tracks. Paint safe for mouths. Forty pieces"),
        Kind("Board Game", 15, 79, "For two to five players. Learned in ten minutes. An hour a round"),
        Kind("Marble Run", 25, 99, "A hundred parts. Grows with every birthday. Beech and birch"),
        Kind("Puzzle of 1,000 Pieces", 12, 39, "Pieces that click. Poster enclosed. Printed without plastic"),
    ),
}


async def seed(database: Database) -> str:
    """Insert missing demo accounts, and the catalogue if there are no products. Idempotent. Returns a summary."""
    await seed_users(database, ACCOUNTS, PASSWORD)
    return f"{await insert_products(database, catalogue()):,} products"


def banner() -> str:
    return f"log in as customer1@shop.example / {PASSWORD}  (or admin@shop.example)"


def catalogue() -> Iterator[dict[str, Any]]:
    """Yield the same 1,000 product rows on every call, evenly distributed over the categories."""
    rng = random.Random(2026)  # noqa: S311  # chooses demo data, no secret
    names = {category: _names(kinds, rng) for category, kinds in CATALOGUE.items()}
    for number in range(PRODUCTS):
        category = list(CATALOGUE)[number % len(CATALOGUE)]
        name, kind = next(names[category])
        created_at = _START + timedelta(hours=7 * number)
        yield {
            "id": _id(created_at, number),
            "name": name,
            "description": f"{'. '.join(rng.sample(kind.facts.split('. '), 2))}.",
            "category": category,
            "price_cents": rng.randint(kind.low, kind.high) * 100 - rng.choice((1, 5, 10, 100)),
            "currency": "EUR",
            "stock": rng.randint(20, 400),
            "version": 1,
            "created_at": created_at,
            "updated_at": created_at,
        }


def _names(kinds: tuple[Kind, ...], rng: random.Random) -> Iterator[tuple[str, Kind]]:
    names = [(f"{brand} {style} {kind.noun}", kind) for brand in BRANDS for style in STYLES for kind in kinds]
    return islice(rng.sample(names, len(names)), len(names))


def _id(created_at: datetime, number: int) -> UUID:
    """A deterministic UUIDv7."""
    milliseconds = int(created_at.timestamp() * 1_000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x8 << 60 | number)
