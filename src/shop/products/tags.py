"""Which kept answers a product is in: its own, and every list that it may be on."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

ALL: Final = "products"


def tags_of(product_id: UUID, *categories: str) -> Iterator[str]:
    """What a change to the product invalidates; ``categories`` are those it was in and is in."""
    yield f"product:{product_id}"
    yield ALL
    yield from map(_of_category, categories)


def list_tags(filters: Mapping[str, Any]) -> list[str]:
    """A list of one category changes with that category's products only."""
    category = filters["category"]
    return [ALL if category is None else _of_category(category)]


def _of_category(category: str) -> str:
    return f"products:{category}"
