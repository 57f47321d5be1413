"""Sales totals by day and by product, and the CSV format."""

import csv
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import TextIO

from msgspec import Struct

from shop.money import format_money
from shop.orders.models import OrderStatus, SoldLine

HEADINGS = ("order", "ordered at (UTC)", "status", "product", "quantity", "unit price", "total", "currency")


class Sales(Struct):
    """Totals per currency, without cancelled orders. ``top`` ranks products by revenue."""

    orders: Counter[str]
    cents: Counter[str]
    by_day: dict[str, Counter[date]]
    by_product: dict[str, Counter[str]]

    @classmethod
    def empty(cls) -> "Sales":
        return cls(Counter(), Counter(), {}, {})

    def add(self, lines: Iterable[SoldLine]) -> None:
        seen = set()
        for line in lines:
            if line.status == OrderStatus.CANCELLED:
                continue
            paid = line.unit_price_cents * line.quantity
            if line.order_id not in seen:
                seen.add(line.order_id)
                self.orders[line.currency] += 1
            self.cents[line.currency] += paid
            self.by_day.setdefault(line.currency, Counter())[line.created_at.date()] += paid
            self.by_product.setdefault(line.currency, Counter())[line.name] += paid

    def top(self, currency: str, count: int) -> list[tuple[str, int]]:
        return self.by_product.get(currency, Counter()).most_common(count)


def write_headings(file: TextIO) -> None:
    csv.writer(file).writerow(HEADINGS)


def write_lines(file: TextIO, lines: Iterable[SoldLine]) -> None:
    """Append rows in the format of RFC 4180. Amounts are decimal numbers."""
    csv.writer(file).writerows(
        (
            line.order_id,
            line.created_at.strftime("%Y-%m-%d %H:%M:%S"),
            line.status,
            _escape_formula(line.name),
            line.quantity,
            _number(line.unit_price_cents, line.currency),
            _number(line.unit_price_cents * line.quantity, line.currency),
            line.currency,
        )
        for line in lines
    )


def _number(amount: int, currency: str) -> str:
    return format_money(amount, currency).partition(" ")[0].replace(",", "")


def _escape_formula(text: str) -> str:
    """Prefix text that a spreadsheet would evaluate as a formula (OWASP: CSV injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
