"""Checks the configured services before the processes start, and logs the result as the event ``startup``.

A refused login, a missing permission or an untrusted certificate is a configuration error. An unreachable Redis, broker
or replica is a warning: the application runs without it, but slower.
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

from restwell._database_url import IGNORED_OPTIONS, postgres_url
from restwell._folders import ensure_writable
from restwell._kit import DEVELOPMENT_SECRET, open_peers, runtime_dir
from restwell.auth._key_derivation import development_secret
from restwell.cache._local import HINT, make_private_folder
from restwell.database import Database, DatabaseUnavailable, open_database, query
from restwell.errors import ConfigurationError
from restwell.settings import Settings
from restwell.web._docs import swagger_ui

log = structlog.get_logger("restwell.startup")

PROBE_SECONDS: Final = 3.0

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
"""Checks the service at a URL for an application name. Returns why it is unreachable, or None. Raises ValueError for an
error."""


class StartupReport(Struct):
    """``services`` describes each service, or its fallback; ``degraded`` are the unreachable ones."""

    services: dict[str, str]
    degraded: list[str]

    def log(self) -> None:
        log.info("startup", **self.services)
        if self.degraded:
            log.warning("startup_degraded", services={name: self.services[name] for name in self.degraded})

    def lines(self) -> list[str]:
        return [f"  {'! ' if name in self.degraded else ''}{name}: {report}" for name, report in self.services.items()]


async def check_connection_limit(database: Database, settings: Settings) -> None:
    """Raises ConfigurationError if the pools of all workers exceed the connection limit of the server."""
    if (fault := await connection_limit_fault(database, settings)) is not None:
        raise ConfigurationError([f"DATABASE_POOL_SIZE: {fault}"])


async def connection_limit_fault(database: Database, settings: Settings) -> str | None:
    limit = await database.connection_limit()
    extra = 1 + bool(settings.database.replica_urls)  # one for the readiness check, one to poll the LSN of the primary
    workers, pool = settings.workers, settings.database.pool_size + extra
    if limit is None or workers * pool <= limit:
        return None
    need = f"{workers} workers with {pool} connections each need {workers * pool}, and PostgreSQL allows {limit}"
    return f"{need}; set at most {limit // workers - extra}, less if it has other clients"


async def check_services(settings: Settings, name: str, database: Database) -> StartupReport:
    """Check every service of the application ``name``. Raises ConfigurationError with all configuration errors."""
    faults = check_folders(settings)
    report = StartupReport({"database": await _describe_database(settings, database)}, [])
    for number, replica in enumerate(settings.database.replica_urls, start=1):
        await check_replica(report, faults, f"replica {number}", replica.get_secret_value())
    redis = settings.redis.url.get_secret_value() if settings.redis.url is not None else None
    unreachable = await _probe(faults, "REDIS_URL", redis, name, probe_redis) if redis is not None else None
    for service, fallback, off in (
        ("cache", "local to this machine", settings.cache == "off"),
        ("rate_limits", "local to this machine", not settings.rate_limit.scale),
    ):
        report.services[service] = "off" if off else _describe_service(redis, unreachable, "Redis", fallback)
        if unreachable is not None and not off:
            report.degraded.append(service)
    if not faults and redis is None and settings.cache != "off" and database.dialect == "postgresql":
        others = await open_peers(settings, name).count_others(database)
        if others:
            report.services["cache"] = f"not used: other machines ({others}) use this database; {HINT}"
            report.degraded.append("cache")
    broker = settings.jobs.url.get_secret_value() if settings.jobs.url is not None else None
    kind = "RabbitMQ" if broker is not None and broker.startswith("amqp") else "Redis"
    probe = probe_rabbit if kind == "RabbitMQ" else probe_streams
    unreachable = await _probe(faults, "JOBS_URL", broker, name, probe) if broker is not None else None
    report.services["jobs"] = _describe_service(broker, unreachable, kind, "notified by the database")
    if unreachable is not None:
        report.degraded.append("jobs")
    if swagger_ui() is None:
        report.services["docs"] = "not served; pip install 'restwell[docs]'"
    if faults:
        raise ConfigurationError(faults)
    report.services |= settings.services()
    return report


def check_folders(settings: Settings) -> list[str]:
    faults: list[str] = []
    checks: list[Callable[[], object]] = [
        lambda: make_private_folder(runtime_dir(settings)),
        *(partial(ensure_writable, folder, setting) for setting, folder in settings.folders().items()),
    ]
    if settings.jwt.secret is None:
        checks.append(lambda: development_secret(DEVELOPMENT_SECRET))
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            faults += error.faults
    return faults


async def _describe_database(settings: Settings, database: Database) -> str:
    version = await database.one(_versions[database.dialect])
    url = settings.database.url.get_secret_value()
    if database.dialect == "sqlite":
        return f"SQLite {version} at {url.removeprefix('sqlite:///')}"
    parsed = postgres_url(url)
    ignored = "; ".join(f"option {option} has no effect: {IGNORED_OPTIONS[option]}" for option in parsed.ignored)
    return f"PostgreSQL {version} at {parsed.where}{f' ({ignored})' if ignored else ''}"


async def check_replica(report: StartupReport, faults: list[str], service: str, url: str) -> None:
    try:
        async with open_database(url, 1) as database:
            version = await database.one(_versions["postgresql"])
    except ConfigurationError as error:
        faults += [fault.replace("DATABASE_URL", "DATABASE_REPLICA_URLS", 1) for fault in error.faults]
    except DatabaseUnavailable as error:
        report.services[service] = f"{error.detail}; reads go to the primary"
        report.degraded.append(service)
    else:
        report.services[service] = f"PostgreSQL {version} at {postgres_url(url).where}"


async def _probe(faults: list[str], setting: str, url: str, name: str, probe: Probe) -> str | None:
    try:
        return await probe(url, name)
    except ValueError as error:
        faults.append(f"{setting}: {error}")
        return None


def _describe_service(url: str | None, unreachable: str | None, kind: str, fallback: str) -> str:
    if url is None:
        return fallback
    address = urlsplit(url).netloc.rpartition("@")[2] or urlsplit(url).path
    return (
        f"{kind} at {address}"
        if unreachable is None
        else f"{fallback}: {kind} at {address} is unreachable: {unreachable}"
    )


async def probe_redis(url: str, name: str) -> str | None:
    from restwell.cache._redis import required_commands as cache_commands  # noqa: PLC0415  # loaded only if it is used
    from restwell.rate_limits._redis import required_commands as rate_limit_commands  # noqa: PLC0415  # as above

    return await _run_all(
        url, [*cache_commands(f"{name}:probe:"), *rate_limit_commands(f"{name}:probe:")], f"~{name}:*"
    )


async def probe_streams(url: str, name: str) -> str | None:
    from restwell.jobs._notifier.redis import required_commands  # noqa: PLC0415  # as above

    return await _run_all(url, required_commands(f"{{{name}.jobs}}:probe"), f"~{{{name}.jobs}}:*")


async def _run_all(url: str, commands: Sequence[Command], keys: str) -> str | None:
    """Run the commands of the application on unused keys. Raises ValueError with all missing permissions."""
    from redis.exceptions import ResponseError  # noqa: PLC0415  # as above

    from restwell._redis import REDIS_ERRORS, connect  # noqa: PLC0415  # as above

    client: Any = connect(url)
    missing: dict[str, None] = {}
    try:
        async with asyncio.timeout(PROBE_SECONDS):
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
    except REDIS_ERRORS as error:
        return _unreachable_reason(error)
    finally:
        await client.aclose()
    if missing:
        raise ValueError(f"the user lacks permissions; grant them with ACL SETUSER: {' '.join(missing)}")
    return None


def _unreachable_reason(error: BaseException) -> str:
    """The reason why Redis is unreachable. Raises ValueError for an error that a retry does not solve."""
    from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError  # noqa: PLC0415  # as above

    message = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, AuthenticationError) or _PERMISSION.search(message):
        raise ValueError(f"Redis refused the user or password: {message}") from None
    if isinstance(error, ReadOnlyError) or (isinstance(error, ResponseError) and "DB index" in message):
        raise ValueError(message) from None
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            message = f"the server's certificate is not trusted: {cause.verify_message}"
            raise ValueError(message) from None  # noqa: TRY004
        cause = cause.__cause__ or cause.__context__
    return message


async def probe_rabbit(url: str, _: str) -> str | None:
    from aio_pika.exceptions import AMQPException  # noqa: PLC0415  # as above
    from aiormq.exceptions import AMQPError  # noqa: PLC0415  # as above

    from restwell.jobs._notifier.amqp import connect  # noqa: PLC0415  # as above

    try:
        connection = await connect(url, PROBE_SECONDS)
    except (AMQPError, AMQPException, OSError, TimeoutError) as error:
        message = str(error).partition("\n")[0] or type(error).__name__
        if re.search(
            r"ACCESS_REFUSED|NOT_ALLOWED|NotAllowed|Authentication|Connection.Close",
            f"{type(error).__name__} {error!r}",
        ):
            raise ValueError(f"RabbitMQ refused the user, password or virtual host: {message}") from None
        return message
    await connection.close()
    return None
