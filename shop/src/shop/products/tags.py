"""Cache tags: one per product, and for the ids of lists one per category and one for the lists of all products."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

ALL: Final = "products"


def tags_of(product_id: UUID, *categories: str) -> Iterator[str]:
    """The tags to invalidate when a product changes. ``categories``: the old and new one; none if only stock did."""
    yield f"product:{product_id}"
    if categories:
        yield ALL
        yield from map(_of_category, categories)


def list_tags(filters: Mapping[str, Any]) -> list[str]:
    """The tags of the ids of a list: those of its category if it is filtered by one."""
    category = filters["category"]
    return [ALL if category is None else _of_category(category)]


def _of_category(category: str) -> str:
    return f"products:{category}"
