"""The check of services at startup: one log event, and all configuration errors together."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from structlog.testing import capture_logs

from mail_server import make_certificate
from restwell._startup import check_services
from restwell.database import Database, open_database
from restwell.errors import ConfigurationError
from restwell.settings import (
    DatabaseSettings,
    JobsSettings,
    JwtSettings,
    RateLimitSettings,
    RedisSettings,
    Settings,
)
from restwell.web import _docs as docs
from servers import free_port, redis_server


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{tmp_path / 'tiny.db'}", 1) as opened:
        yield opened


def settings_of(redis: str | None = None, jobs: str | None = None, **others: object) -> Settings:
    return Settings(
        redis=RedisSettings(url=SecretStr(redis) if redis else None),
        jobs=JobsSettings(url=SecretStr(jobs) if jobs else None),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        **others,  # type: ignore[arg-type]  # settings sections
    )


@pytest.fixture
async def redis_users(redis_url: str) -> AsyncIterator[dict[str, str]]:
    """The URLs of Redis users with different permissions."""
    rules = {
        "whole": "~tiny:* ~{tiny.jobs}:* +@all",
        "no-eval": "~tiny:* ~{tiny.jobs}:* +@all -eval -info",
        "no-time": "~tiny:* ~{tiny.jobs}:* +@all -time",
        "no-keys": "~other:* +@all",
        "no-streams": "~tiny:* ~{tiny.jobs}:* +@all -xreadgroup",
    }
    client = Redis.from_url(redis_url)
    for name, rule in rules.items():
        command = ("ACL", "SETUSER", name, "on", ">hunter2", *rule.split())
        await client.execute_command(*command)  # type: ignore[no-untyped-call]  # untyped in redis-py
    yield {name: redis_url.replace("redis://", f"redis://{name}:hunter2@") for name in rules}
    await client.execute_command("ACL", "DELUSER", *rules)  # type: ignore[no-untyped-call]  # as above
    await client.aclose()


async def faults(settings: Settings, database: Database) -> str:
    with pytest.raises(ConfigurationError) as raised:
        await check_services(settings, "tiny", database)
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)
    (fault,) = raised.value.faults
    return fault


async def test_the_startup_event_names_each_service(database: Database, redis_users: dict[str, str]) -> None:
    url = redis_users["whole"]
    report = await check_services(settings_of(url, url), "tiny", database)
    at = f"Redis at {url.partition('@')[2].partition('/')[0]}"
    assert report.services["database"].startswith("SQLite 3.")
    assert [report.services[name] for name in ("cache", "rate_limits", "jobs")] == [at, at, at]
    assert report.services["mail"] == "files in var/mail, not sent"
    assert report.services["url"] == "http://localhost:8000"
    assert report.degraded == []
    with capture_logs() as logged:
        report.log()
    assert [(one["event"], one["database"]) for one in logged] == [("startup", report.services["database"])]
    assert f"  cache: {at}" in report.lines()


async def test_the_startup_event_names_what_replaces_a_missing_service(database: Database) -> None:
    report = await check_services(settings_of(), "tiny", database)
    assert [report.services[name] for name in ("cache", "rate_limits")] == ["local to this machine"] * 2
    assert report.services["jobs"] == "notified by the database"
    off = settings_of(cache="off", rate_limit=RateLimitSettings(scale=0))
    report = await check_services(off, "tiny", database)
    assert [report.services[name] for name in ("cache", "rate_limits")] == ["off", "off"]


async def test_the_startup_event_says_when_the_documentation_page_is_not_served(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "docs" not in (await check_services(settings_of(), "tiny", database)).services
    monkeypatch.setattr(docs, "find_spec", lambda _name: None)
    report = await check_services(settings_of(), "tiny", database)
    assert report.services["docs"] == "not served; pip install 'restwell[docs]'"


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("no-eval", "ACL SETUSER: +info +eval"),
        ("no-time", "the commands of its scripts"),
        ("no-keys", "ACL SETUSER: ~tiny:*"),
    ],
)
async def test_a_redis_user_without_a_permission_is_refused_at_start(
    database: Database, redis_users: dict[str, str], user: str, words: str
) -> None:
    """Breaks when only PING is checked: the application then starts without a shared cache."""
    fault = await faults(settings_of(redis_users[user]), database)
    assert fault.startswith("REDIS_URL: the user lacks permissions")
    assert words in fault


async def test_a_redis_user_of_jobs_without_a_permission_is_refused_at_start(
    database: Database, redis_users: dict[str, str]
) -> None:
    """Breaks when only the commands of the cache are checked."""
    fault = await faults(settings_of(None, redis_users["no-streams"]), database)
    assert fault.startswith("JOBS_URL: the user lacks permissions")
    assert fault.endswith("+xreadgroup")


@pytest.mark.parametrize("change", [("hunter2", "hunter21"), ("whole", "stranger"), ("/0", "/99")])
async def test_a_redis_that_refuses_the_login_is_refused_at_start(
    database: Database, redis_users: dict[str, str], change: tuple[str, str]
) -> None:
    """Breaks when a refused login counts as an outage."""
    url = redis_users["whole"].replace(*change)
    assert (await faults(settings_of(url), database)).startswith("REDIS_URL: ")


@pytest.mark.integration
async def test_a_read_only_redis_is_refused_at_start(database: Database) -> None:
    """Breaks when a refused write counts as an outage: a replica never accepts writes."""
    with redis_server("--replicaof", "127.0.0.1", str(free_port())) as replica:
        assert "read only replica" in await faults(settings_of(replica.url), database)


@pytest.mark.slow
async def test_a_redis_with_an_untrusted_certificate_is_refused_at_start(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when an untrusted certificate counts as an outage."""
    for limit in ("restwell._redis.COMMAND_SECONDS", "restwell._startup.PROBE_SECONDS"):
        monkeypatch.setattr(limit, 30.0)  # on a busy machine the handshake takes longer than an outage may
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = make_certificate(tmp_path)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        url = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        assert "certificate is not trusted" in await faults(settings_of(url), database)


async def test_a_rabbitmq_that_refuses_the_login_is_refused_at_start(database: Database, rabbit_url: str) -> None:
    """Breaks when a refused login counts as an outage."""
    report = await check_services(settings_of(None, rabbit_url), "tiny", database)
    assert report.services["jobs"] == f"RabbitMQ at {rabbit_url.partition('@')[2].rstrip('/')}"
    for url in (rabbit_url.replace("guest:guest", "guest:hunter2"), f"{rabbit_url}no-such-host"):
        fault = await faults(settings_of(None, url), database)
        assert fault.startswith("JOBS_URL: RabbitMQ refused the user, password or virtual host")
    open_connections = [one for one in gc.get_objects() if isinstance(one, aio_pika.Connection) and not one.is_closed]
    assert not open_connections, (
        "a leaked connection is closed by the garbage collector, possibly without an event loop"
    )


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
async def test_an_unreachable_service_is_logged_as_a_warning_and_does_not_prevent_the_start(
    database: Database, scheme: str
) -> None:
    """Breaks when the outage is not logged, and when it prevents the start: without Redis the application is only
    slower.
    """
    unused_address = f"127.0.0.1:{free_port()}"
    settings = settings_of(f"redis://{unused_address}/0", f"{scheme}://u:hunter2@{unused_address}/")
    report = await check_services(settings, "tiny", database)
    assert report.degraded == ["cache", "rate_limits", "jobs"]
    for name, fallback in (("cache", "local to this machine"), ("jobs", "notified by the database")):
        assert report.services[name].startswith(f"{fallback}: R")
        assert f"at {unused_address} is unreachable: " in report.services[name]
    with capture_logs() as logged:
        report.log()
    assert [(one["event"], one["log_level"]) for one in logged] == [
        ("startup", "info"),
        ("startup_degraded", "warning"),
    ]
    assert "hunter2" not in str(logged)
    assert any(line.startswith("  ! cache: local to this machine: Redis at") for line in report.lines())


async def test_replicas_are_checked_and_ignored_options_reported_at_start(postgres_server: str) -> None:
    """Breaks when an unreachable replica is not reported: the primary then serves all reads."""
    unreachable_url = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d"
    url = f"{postgres_server}?channel_binding=prefer"
    replicas = (SecretStr(postgres_server), SecretStr(unreachable_url))
    async with open_database(url, 1) as database:
        settings = settings_of(database=DatabaseSettings(url=SecretStr(url), replica_urls=replicas))
        report = await check_services(settings, "tiny", database)
    assert "option channel_binding has no effect: the driver does not support it" in report.services["database"]
    assert report.services["replica 1"].startswith("PostgreSQL ")
    assert report.services["replica 2"].endswith("reads go to the primary")
    assert report.degraded == ["replica 2"]
    assert "hunter2" not in str(report)
