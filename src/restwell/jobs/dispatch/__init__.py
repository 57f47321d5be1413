"""How workers hear that there is work: from the database itself, or from Redis or RabbitMQ."""

from restwell.database import Database, SqliteDatabase
from restwell.jobs.dispatch.base import Dispatch
from restwell.jobs.dispatch.postgres import PostgresDispatch
from restwell.jobs.dispatch.sqlite import SqliteDispatch

__all__ = ["Dispatch", "open_dispatch"]


def open_dispatch(database: Database, database_url: str, broker_url: str | None, name: str) -> Dispatch:
    """The way that ``broker_url`` names (``redis://`` or one of its kinds, ``amqp://``, ``amqps://``), or the database's own.

    ``name`` keeps the hints of one application from those of another. Nothing connects before it is used.
    """
    if broker_url is not None:
        # What is not used is not loaded: each client takes tens of milliseconds of the start, and megabytes.
        if broker_url.startswith("amqp"):
            from restwell.jobs.dispatch.amqp import AmqpDispatch  # noqa: PLC0415  # see above

            return AmqpDispatch(broker_url, name)
        from restwell.jobs.dispatch.redis import RedisDispatch  # noqa: PLC0415  # see above

        return RedisDispatch(broker_url, name)
    if isinstance(database, SqliteDatabase):
        return SqliteDispatch(database)
    return PostgresDispatch(database, database_url)
