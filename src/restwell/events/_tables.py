"""The tables of the outbox, which has the events, and of the inbox, which has how far each consumer has come."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from restwell._metadata import metadata
from restwell.database import Timestamp

outbox: Final = Table(
    "outbox_events",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("key", Text, nullable=False),
    Column("payload", Text, nullable=False),  # JSON
    Column("appended_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Index("outbox_events_expired", "expires_at"),
)
partitions: Final = Table(
    "outbox_partitions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    # Of the newest event. A transaction that has changed it holds the lock of the row until it ends.
    Column("position", BigInteger, nullable=False),
)
inbox: Final = Table(
    "inbox_positions",
    metadata,
    Column("consumer", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),  # of the last event that was applied
    Column("attempts", Integer, nullable=False, server_default="0"),  # failed ones at the next event
    Column("error", Text, nullable=False, server_default=""),  # of the last failed attempt
)
