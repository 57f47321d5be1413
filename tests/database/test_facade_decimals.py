"""Columns of exact decimal numbers, on both databases."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Final

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

from restwell.database import Database, FixedPoint, any_of, explain_queries, open_database, param, query
from restwell.database._schema import definitions

prices: Final = Table(
    "prices", MetaData(), Column("id", Integer, primary_key=True), Column("price", FixedPoint(18, 2), nullable=True)
)
shares: Final = Table("shares", prices.metadata, Column("share", FixedPoint(2, 2)))
price: Final = prices.c.price
add: Final = query("prices.add", insert(prices).values(price=param("price")).returning(price), into=Decimal)
ordered: Final = query("prices.ordered", select(price).order_by(price), into=Decimal)
total: Final = query("prices.total", select(func.sum(price).label("total")), into=Decimal)
between: Final = query("prices.between", select(price).where(price.between(1, Decimal("2.50"))), into=Decimal)
above: Final = query("prices.above", select(price).where(price > param("price")), into=Decimal)
among: Final = query("prices.among", select(price).where(any_of(price, "prices")).order_by(price), into=Decimal)
changed: Final = query("prices.changed", select(((price + 1) * 2).label("price")), into=Decimal)
halved: Final = query("prices.halved", select((price * Decimal("0.5")).label("price")), into=Decimal)

by_share: Final = query("shares.by_share", select(shares).where(shares.c.share == param("share")), into=dict)

LARGEST: Final = Decimal("9999999999999999.99")


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    async with open_database(empty_url) as opened:
        async with opened.transaction() as tx:
            for statement in definitions(prices.metadata, opened.dialect):
                await tx.run_script(statement)
        yield opened


async def fill(database: Database, *numbers: str) -> list[str]:
    stored = [await database.one(add, price=Decimal(number)) for number in numbers]
    return list(map(str, stored))


async def test_numbers_are_exact_and_have_the_digits_of_their_column(database: Database) -> None:
    """Fails if SQLite stores a float: the largest number would be 10000000000000000."""
    numbers = (str(LARGEST), "-0.10", "12.5", "0", "-9999999999999999.99")
    assert await fill(database, *numbers) == [str(LARGEST), "-0.10", "12.50", "0.00", "-9999999999999999.99"]


async def test_numbers_are_sorted_compared_and_added_as_numbers(database: Database) -> None:
    """Fails if SQLite compares with a number whose point was not removed."""
    await fill(database, "10.00", "0.10", "2.50", "0.20", "1")
    assert list(map(str, await database.all(ordered))) == ["0.10", "0.20", "1.00", "2.50", "10.00"]
    assert await database.one(total) == Decimal("13.80")
    assert {*await database.all(between)} == {Decimal(1), Decimal("2.50")}
    assert {*await database.all(above, price=2)} == {Decimal(10), Decimal("2.50")}
    found = await database.all(among, prices=[Decimal("0.2"), Decimal("2.5"), Decimal(3)])
    assert list(map(str, found)) == ["0.20", "2.50"]


async def test_sql_adds_numbers_and_multiplies_them_by_integers(database: Database) -> None:
    """Fails if SQLite adds one hundredth instead of one."""
    await fill(database, "12.50")
    number = await database.one(changed)
    assert str(number) == "27.00"
    if database.dialect == "sqlite":
        with pytest.raises(TypeError):
            await database.one(halved)


async def test_a_number_with_more_digits_is_rounded_or_an_error(database: Database) -> None:
    """Fails if SQLite stores a number that PostgreSQL refuses."""
    assert await fill(database, "0.005", "-0.005", "0.0049") == ["0.01", "-0.01", "0.00"]
    with pytest.raises(Exception, match=r"more digits|numeric field overflow"):
        await fill(database, "10000000000000000")


async def test_a_query_of_a_column_with_two_digits_is_explained(database: Database) -> None:
    """Fails if the sample of the argument has more digits than the column."""
    assert [plan.query for plan in await explain_queries(database, [by_share])] == ["shares.by_share"]


@pytest.mark.parametrize(("precision", "scale"), [(19, 2), (2, 3), (5, -1)])
def test_a_column_has_at_most_18_digits(precision: int, scale: int) -> None:
    with pytest.raises(ValueError, match="write at most 18 digits, some of them after the point"):
        FixedPoint(precision, scale)
