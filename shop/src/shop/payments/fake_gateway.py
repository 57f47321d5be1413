"""A fake payment gateway for development and tests. It stores payments in a SQLite file.

It can delay responses, decline payments, and lose responses after execution. It never charges a payment twice.
"""

import asyncio
import hashlib
import random
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from msgspec import Struct
from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table, Text, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from restwell.database import Timestamp, Transaction, insert_or_ignore, insert_row, open_database, param, query
from restwell.ids import new_id
from shop.payments.gateway import GatewayRejected, GatewayUnavailable, Outcome

log = structlog.get_logger("shop.payments")

PAGE_CACHE_KB: Final = 256
"""A worker reads a payment for seconds only. Otherwise its memory grows by 400 bytes for each, to 4 MB."""
PREPARED: Final = "prepared"
REFUNDED: Final = "refunded"

tables = MetaData()
intents = Table(
    "intents",
    tables,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("state", Text, nullable=False),
)
movements = Table(
    "movements",
    tables,
    Column("id", Text, primary_key=True),
    Column("intent_id", Text, ForeignKey("intents.id"), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("at", Timestamp, nullable=False),
)
"""Charges are positive amounts, refunds negative ones."""


class Intent(Struct, frozen=True):
    id: str
    key: str
    amount_cents: int
    currency: str
    description: str
    state: str


_prepare = query("fake_gateway.prepare", insert_or_ignore(intents))
_of_key = query("fake_gateway.of_key", select(*intents.columns).where(intents.c.key == param("key")), into=Intent)
_by_id = query("fake_gateway.by_id", select(*intents.columns).where(intents.c.id == param("id")), into=Intent)
_set_state = query(
    "fake_gateway.set_state", update(intents).where(intents.c.id == param("match_id")).values(state=param("state"))
)
_move = query("fake_gateway.move", insert_row(movements))


class FakeGateway:
    """``fake:///relative/file.db?delay_seconds=0.05&decline_rate=0.1&loss_rate=0.1``.

    ``decline_rate`` is a fraction of the payments, ``loss_rate`` a fraction of the responses.
    """

    def __init__(self, url: str) -> None:
        """Raises ValueError for unknown options."""
        parts = urlsplit(url)
        options = {name: float(value) for name, value in parse_qsl(parts.query)}
        self._delay_seconds = options.pop("delay_seconds", 0.0)
        self._decline_rate = options.pop("decline_rate", 0.0)
        self._loss_rate = options.pop("loss_rate", 0.0)
        if options:
            raise ValueError(f"unknown options of the fake gateway: {', '.join(options)}")
        self._path = parts.path
        self._database = open_database(f"sqlite://{parts.path}", 1)
        self._start_lock = asyncio.Lock()
        self._started = False

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        async with await self._transaction() as tx:
            new = {"id": f"pay_{new_id().hex}", "amount_cents": amount_cents, "currency": currency}
            await tx.run(_prepare, key=key, description=description, state=PREPARED, **new)
            intent = await tx.one(_of_key, key=key)
        if (intent.amount_cents, intent.currency) != (amount_cents, currency):
            raise GatewayRejected(f"key {key} was used with another amount or currency")
        await self._respond()
        return intent.id

    async def confirm(self, payment_id: str) -> Outcome:
        async with await self._transaction() as tx:
            intent = await self._intent(tx, payment_id)
            state = intent.state
            if state == PREPARED:
                declined = _fraction(intent.key) < self._decline_rate
                state = Outcome.DECLINED if declined else Outcome.PAID
                await tx.run(_set_state, match_id=intent.id, state=state)
                if not declined:
                    await self._move(tx, intent.id, intent.amount_cents)
        await self._respond()
        return Outcome.PAID if state == REFUNDED else Outcome(state)

    async def cancel(self, payment_id: str) -> Outcome:
        async with await self._transaction() as tx:
            intent = await self._intent(tx, payment_id)
            state = intent.state
            if state in {PREPARED, Outcome.DECLINED}:
                state = Outcome.CANCELLED
                await tx.run(_set_state, match_id=intent.id, state=state)
        await self._respond()
        return Outcome.PAID if state == REFUNDED else Outcome(state)

    async def refund(self, payment_id: str) -> None:
        async with await self._transaction() as tx:
            intent = await self._intent(tx, payment_id)
            if intent.state == Outcome.PAID:
                await tx.run(_set_state, match_id=intent.id, state=REFUNDED)
                await self._move(tx, intent.id, -intent.amount_cents)
            elif intent.state != REFUNDED:
                raise GatewayRejected(f"{payment_id} is {intent.state}, so it cannot be refunded")
        await self._respond()

    async def close(self) -> None:
        await self._database.close()
        self._started = False

    async def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        async with self._start_lock:
            if not self._started:
                await self._database.start()
                async with self._database.transaction() as tx:
                    await tx.run_script(f"PRAGMA cache_size = -{PAGE_CACHE_KB}")
                    for table in (intents, movements):
                        await tx.run_script(
                            str(CreateTable(table, if_not_exists=True).compile(dialect=sqlite.dialect()))
                        )
                self._started = True
                log.warning("fake_payment_gateway", path=self._path, advice="no real charges; set PAYMENTS_URL")
        return self._database.transaction()

    async def _intent(self, tx: Transaction, payment_id: str) -> Intent:
        intent = await tx.find(_by_id, id=payment_id)
        if intent is None:
            raise GatewayRejected(f"unknown payment {payment_id}")
        return intent

    async def _move(self, tx: Transaction, intent_id: str, amount_cents: int) -> None:
        await tx.run(_move, id=new_id().hex, intent_id=intent_id, amount_cents=amount_cents, at=datetime.now(UTC))

    async def _respond(self) -> None:
        await asyncio.sleep(self._delay_seconds)
        if random.random() < self._loss_rate:  # noqa: S311  # no secret
            raise GatewayUnavailable("the response was lost")


def _fraction(key: str) -> float:
    """A deterministic fraction in [0, 1) per key, uniformly distributed."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) / 2**32
