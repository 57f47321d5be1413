"""How workers hear that there is work: from the database itself, or from Redis or RabbitMQ."""

from restwell.database import Database, SqliteDatabase
from restwell.jobs.notifier.base import Notifier
from restwell.jobs.notifier.postgres import PostgresNotifier
from restwell.jobs.notifier.sqlite import SqliteNotifier

__all__ = ["Notifier", "open_notifier"]


def open_notifier(database: Database, database_url: str, broker_url: str | None, name: str) -> Notifier:
    """The way that ``broker_url`` names (``redis://`` or one of its kinds, ``amqp://``, ``amqps://``), or the database's own.

    ``name`` keeps the hints of one application from those of another. Nothing connects before it is used.
    """
    if broker_url is not None:
        # What is not used is not loaded: each client takes tens of milliseconds of the start, and megabytes.
        if broker_url.startswith("amqp"):
            from restwell.jobs.notifier.amqp import AmqpNotifier  # noqa: PLC0415  # see above

            return AmqpNotifier(broker_url, name)
        from restwell.jobs.notifier.redis import RedisNotifier  # noqa: PLC0415  # see above

        return RedisNotifier(broker_url, name)
    if isinstance(database, SqliteDatabase):
        return SqliteNotifier(database)
    return PostgresNotifier(database, database_url)
