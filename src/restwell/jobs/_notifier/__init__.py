"""Notifies workers of ready jobs, through the database, Redis or RabbitMQ."""

from restwell._extras import needs_extra
from restwell.database import Database
from restwell.database._sqlite import SqliteDatabase
from restwell.jobs._notifier.base import Notifier
from restwell.jobs._notifier.sqlite import SqliteNotifier

__all__ = ["Notifier", "open_notifier"]


def open_notifier(database: Database, database_url: str, broker_url: str | None, name: str) -> Notifier:
    """The notifier for ``broker_url`` (Redis, ``amqp://``, ``amqps://``), or without one that of the database.

    ``name`` separates applications that share a broker. The notifier connects on first use.
    """
    if broker_url is not None:
        # Imported on demand: each client costs tens of milliseconds at startup, and megabytes.
        if broker_url.startswith("amqp"):
            with needs_extra("rabbitmq", "JOBS_URL"):
                from restwell.jobs._notifier.amqp import AmqpNotifier  # noqa: PLC0415  # see above

            return AmqpNotifier(broker_url, name)
        with needs_extra("redis", "JOBS_URL"):
            from restwell.jobs._notifier.redis import RedisNotifier  # noqa: PLC0415  # see above

        return RedisNotifier(broker_url, name)
    if isinstance(database, SqliteDatabase):
        return SqliteNotifier(database)
    from restwell.jobs._notifier.postgres import PostgresNotifier  # noqa: PLC0415  # the database has its driver

    return PostgresNotifier(database, database_url)
