"""What an application starts with: its services are asked once, before its processes begin, and one event tells what was found.

A refused password, a missing permission or a certificate that is not trusted is a fault of configuration. A Redis, a broker or a replica that
cannot be reached is none: without it the application is slower, not away, and that is told as a warning.
"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from msgspec import Struct
from sqlalchemy import text

from restwell.app import DEVELOPMENT_SECRET, open_peers, runtime_dir
from restwell.auth.key_derivation import development_secret
from restwell.cache.local import HINT, make_private_folder
from restwell.database import Database, DatabaseUnavailable, open_database, query
from restwell.database_url import IGNORED_OPTIONS, postgres_url
from restwell.errors import ConfigurationError
from restwell.folders import ensure_writable
from restwell.redis import connect
from restwell.settings import Settings

log = structlog.get_logger("restwell.startup")

ANSWER_SECONDS: Final = 3.0

_versions: Final = {
    "sqlite": query("startup.sqlite_version", text("SELECT sqlite_version()"), into=str),
    "postgresql": query("startup.postgres_version", text("SHOW server_version"), into=str),
}
_PERMISSION: Final = re.compile(
    r"NOPERM|no permissions|No permissions|can't run this command|ACL failure", re.IGNORECASE
)
_COMMAND: Final = re.compile(r"'([\w|-]+)' command")

Command = Sequence[Any]
Probe = Callable[[str, str], Awaitable[str | None]]
"""Asks the service at a URL, for an application of that name. Gives why it cannot be reached, or None. Raises ValueError for a fault."""


class StartupReport(Struct):
    """``services`` says what each is, or what stands in for it; ``degraded`` names those that cannot be reached."""

    services: dict[str, str]
    degraded: list[str]

    def tell(self) -> None:
        log.info("startup", **self.services)
        if self.degraded:
            log.warning("startup_degraded", services={name: self.services[name] for name in self.degraded})

    def lines(self) -> list[str]:
        """For a terminal."""
        return [f"  {'! ' if name in self.degraded else ''}{name}: {found}" for name, found in self.services.items()]


async def look(settings: Settings, name: str, database: Database) -> StartupReport:
    """Ask everything that the application called ``name`` is configured with. Raises ConfigurationError with every fault at once."""
    faults = _try_folders(settings)
    found = StartupReport({"database": await _database(settings, database)}, [])
    for number, replica in enumerate(settings.database.replica_urls, start=1):
        await _ask_replica(found, faults, f"replica {number}", replica.get_secret_value())
    redis = settings.redis.url.get_secret_value() if settings.redis.url is not None else None
    lost = await _ask(faults, "REDIS_URL", redis, name, _probe_redis) if redis is not None else None
    for service, alone, off in (
        ("cache", "of this machine", settings.cache == "off"),
        ("rate_limits", "of this machine", not settings.rate_limit.scale),
    ):
        found.services[service] = "off" if off else _where(redis, lost, "Redis", alone)
        if lost is not None and not off:
            found.degraded.append(service)
    if not faults and redis is None and settings.cache != "off" and database.dialect == "postgresql":
        others = await open_peers(settings, name).count_others(database)
        if others:
            found.services["cache"] = f"not used, because other machines ({others}) use this database; {HINT}"
            found.degraded.append("cache")
    broker = settings.jobs.url.get_secret_value() if settings.jobs.url is not None else None
    kind = "RabbitMQ" if broker is not None and broker.startswith("amqp") else "Redis"
    probe = _probe_rabbit if kind == "RabbitMQ" else _probe_streams
    lost = await _ask(faults, "JOBS_URL", broker, name, probe) if broker is not None else None
    found.services["jobs"] = _where(broker, lost, kind, "told of by the database")
    if lost is not None:
        found.degraded.append("jobs")
    if faults:
        raise ConfigurationError(faults)
    found.services |= settings.services()
    return found


def _try_folders(settings: Settings) -> list[str]:
    faults: list[str] = []
    tries: list[Callable[[], object]] = [
        lambda: make_private_folder(runtime_dir(settings)),
        *(partial(ensure_writable, folder, setting) for setting, folder in settings.folders().items()),
    ]
    if settings.jwt.secret is None:
        tries.append(lambda: development_secret(DEVELOPMENT_SECRET))
    for one in tries:
        try:
            one()
        except ConfigurationError as error:
            faults += error.faults
    return faults


async def _database(settings: Settings, database: Database) -> str:
    version = await database.one(_versions[database.dialect])
    url = settings.database.url.get_secret_value()
    if database.dialect == "sqlite":
        return f"SQLite {version} at {url.removeprefix('sqlite:///')}"
    parsed = postgres_url(url)
    ignored = "; ".join(f"option {option} has no effect: {IGNORED_OPTIONS[option]}" for option in parsed.ignored)
    return f"PostgreSQL {version} at {parsed.where}{f' ({ignored})' if ignored else ''}"


async def _ask_replica(found: StartupReport, faults: list[str], service: str, url: str) -> None:
    try:
        async with open_database(url, 1) as database:
            version = await database.one(_versions["postgresql"])
    except ConfigurationError as error:
        faults += [fault.replace("DATABASE_URL", "DATABASE_REPLICA_URLS", 1) for fault in error.faults]
    except DatabaseUnavailable as error:
        found.services[service] = f"{error.detail}; reads go to the primary"
        found.degraded.append(service)
    else:
        found.services[service] = f"PostgreSQL {version} at {postgres_url(url).where}"


async def _ask(faults: list[str], setting: str, url: str, name: str, probe: Probe) -> str | None:
    try:
        return await probe(url, name)
    except ValueError as error:
        faults.append(f"{setting}: {error}")
        return None


def _where(url: str | None, lost: str | None, kind: str, alone: str) -> str:
    if url is None:
        return alone
    address = urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path
    return f"{kind} at {address}" if lost is None else f"{alone}, because {kind} at {address} cannot be reached: {lost}"


async def _probe_redis(url: str, name: str) -> str | None:
    from restwell.cache.redis import required_commands as of_cache  # noqa: PLC0415  # who does not use it does not load it
    from restwell.rate_limits.redis import required_commands as of_limits  # noqa: PLC0415  # as above

    return await _run_all(url, [*of_cache(f"{name}:probe:"), *of_limits(f"{name}:probe:")], f"~{name}:*")


async def _probe_streams(url: str, name: str) -> str | None:
    from restwell.jobs.notifier.redis import required_commands  # noqa: PLC0415  # as above

    return await _run_all(url, required_commands(f"{{{name}.jobs}}:probe"), f"~{{{name}.jobs}}:*")


async def _run_all(url: str, commands: Sequence[Command], keys: str) -> str | None:
    """Run what the application runs, on keys that it does not use; the errors of all of them are one fault."""
    from redis.exceptions import RedisClusterException, RedisError, ResponseError  # noqa: PLC0415  # as above

    client: Any = connect(url)
    missing: dict[str, None] = {}
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.ping()
            for command in commands:
                try:
                    await client.execute_command(*command)
                except ResponseError as error:
                    if not _PERMISSION.search(str(error)):
                        raise
                    denied = _COMMAND.search(str(error))
                    needs = keys if " key" in str(error) else f"the commands of its scripts ({error})"
                    missing[f"+{denied[1]}" if denied is not None else needs] = None
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        return _why(error)
    finally:
        await client.aclose()
    if missing:
        raise ValueError(f"the user lacks permissions, which ACL SETUSER gives: {' '.join(missing)}")
    return None


def _why(error: BaseException) -> str:
    """Why it cannot be reached. Raises ValueError for what will not be otherwise the next time."""
    from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError  # noqa: PLC0415  # as above

    told = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, AuthenticationError) or _PERMISSION.search(told):
        raise ValueError(f"Redis refuses user or password: {told}") from None
    if isinstance(error, ReadOnlyError) or (isinstance(error, ResponseError) and "DB index" in told):
        raise ValueError(told) from None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise ValueError(f"the server's certificate is not trusted: {cause.verify_message}") from None  # noqa: TRY004
        cause = cause.__cause__ or cause.__context__
    return told


async def _probe_rabbit(url: str, _: str) -> str | None:
    from aio_pika.exceptions import AMQPException  # noqa: PLC0415  # as above
    from aiormq.exceptions import AMQPError  # noqa: PLC0415  # as above

    from restwell.jobs.notifier.amqp import connect  # noqa: PLC0415  # as above

    try:
        connection = await connect(url, ANSWER_SECONDS)
    except (AMQPError, AMQPException, OSError, TimeoutError) as error:
        told = str(error).partition("\n")[0] or type(error).__name__
        if re.search(
            r"ACCESS_REFUSED|NOT_ALLOWED|NotAllowed|Authentication|Connection.Close",
            f"{type(error).__name__} {error!r}",
        ):
            raise ValueError(f"RabbitMQ refuses user, password or virtual host: {told}") from None
        return told
    await connection.close()
    return None
