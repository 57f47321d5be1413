"""What an application starts with: asked once, told in one event, and every fault of configuration at once."""

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
from restwell.startup import look
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
        **others,  # type: ignore[arg-type]  # sections
    )


@pytest.fixture
async def redis_users(redis_url: str) -> AsyncIterator[dict[str, str]]:
    """URLs of users with this or that permission."""
    rules = {
        "whole": "~tiny:* ~{tiny.jobs}:* +@all",
        "no-eval": "~tiny:* ~{tiny.jobs}:* +@all -eval -info",
        "no-time": "~tiny:* ~{tiny.jobs}:* +@all -time",
        "no-keys": "~other:* +@all",
        "no-streams": "~tiny:* ~{tiny.jobs}:* +@all -xreadgroup",
    }
    client = Redis.from_url(redis_url)
    for name, rule in rules.items():
        await client.execute_command("ACL", "SETUSER", name, "on", ">hunter2", *rule.split())  # type: ignore[no-untyped-call]  # redis-py's own
    yield {name: redis_url.replace("redis://", f"redis://{name}:hunter2@") for name in rules}
    await client.execute_command("ACL", "DELUSER", *rules)  # type: ignore[no-untyped-call]  # as above
    await client.aclose()


async def faults(settings: Settings, database: Database) -> str:
    with pytest.raises(ConfigurationError) as raised:
        await look(settings, "tiny", database)
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)
    (fault,) = raised.value.faults
    return fault


async def test_the_startup_event_names_each_service(database: Database, redis_users: dict[str, str]) -> None:
    url = redis_users["whole"]
    found = await look(settings_of(url, url), "tiny", database)
    at = f"Redis at {url.partition('@')[2].partition('/')[0]}"
    assert found.services["database"].startswith("SQLite 3.")
    assert [found.services[name] for name in ("cache", "rate_limits", "jobs")] == [at, at, at]
    assert found.services["mail"] == "files in var/mail, which nobody sends"
    assert found.services["url"] == "http://localhost:8000"
    assert found.degraded == []
    with capture_logs() as told:
        found.tell()
    assert [(one["event"], one["database"]) for one in told] == [("startup", found.services["database"])]
    assert f"  cache: {at}" in found.lines()


async def test_the_startup_event_names_what_replaces_a_missing_service(database: Database) -> None:
    found = await look(settings_of(), "tiny", database)
    assert [found.services[name] for name in ("cache", "rate_limits")] == ["of this machine"] * 2
    assert found.services["jobs"] == "told of by the database"
    off = settings_of(cache="off", rate_limit=RateLimitSettings(scale=0))
    found = await look(off, "tiny", database)
    assert [found.services[name] for name in ("cache", "rate_limits")] == ["off", "off"]


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("no-eval", "ACL SETUSER gives: +info +eval"),
        ("no-time", "the commands of its scripts"),
        ("no-keys", "ACL SETUSER gives: ~tiny:*"),
    ],
)
async def test_a_redis_user_without_a_permission_is_refused_at_start(
    database: Database, redis_users: dict[str, str], user: str, words: str
) -> None:
    """Breaks when only PING is tried: the application started in silence without a shared cache."""
    fault = await faults(settings_of(redis_users[user]), database)
    assert fault.startswith("REDIS_URL: the user lacks permissions")
    assert words in fault


async def test_a_redis_user_of_jobs_without_a_permission_is_refused_at_start(
    database: Database, redis_users: dict[str, str]
) -> None:
    """Breaks when only the commands of the cache are tried."""
    fault = await faults(settings_of(None, redis_users["no-streams"]), database)
    assert fault.startswith("JOBS_URL: the user lacks permissions")
    assert fault.endswith("+xreadgroup")


@pytest.mark.parametrize("change", [("hunter2", "hunter21"), ("whole", "stranger"), ("/0", "/99")])
async def test_a_redis_that_refuses_the_login_is_refused_at_start(
    database: Database, redis_users: dict[str, str], change: tuple[str, str]
) -> None:
    """Breaks when a refusal counts as an outage, which nobody waits for."""
    url = redis_users["whole"].replace(*change)
    assert (await faults(settings_of(url), database)).startswith("REDIS_URL: ")


@pytest.mark.integration
async def test_a_read_only_redis_is_refused_at_start(database: Database) -> None:
    """Breaks when a refused write counts as an outage: a replica is reachable, and will never accept one."""
    with redis_server("--replicaof", "127.0.0.1", str(free_port())) as replica:
        assert "read only replica" in await faults(settings_of(replica.url), database)


async def test_a_redis_with_an_untrusted_certificate_is_refused_at_start(database: Database, tmp_path: Path) -> None:
    """Breaks when an untrusted certificate counts as an outage."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = make_certificate(tmp_path)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        url = f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        assert "certificate is not trusted" in await faults(settings_of(url), database)


async def test_a_rabbitmq_that_refuses_the_login_is_refused_at_start(database: Database, rabbit_url: str) -> None:
    """Breaks when a refusal counts as an outage."""
    found = await look(settings_of(None, rabbit_url), "tiny", database)
    assert found.services["jobs"] == f"RabbitMQ at {rabbit_url.partition('@')[2].rstrip('/')}"
    for url in (rabbit_url.replace("guest:guest", "guest:hunter2"), f"{rabbit_url}no-such-host"):
        fault = await faults(settings_of(None, url), database)
        assert fault.startswith("JOBS_URL: RabbitMQ refuses user, password or virtual host")
    left = [one for one in gc.get_objects() if isinstance(one, aio_pika.Connection) and not one.is_closed]
    assert not left, "it would be closed when it is collected, where no event loop may run any more"


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
async def test_an_unreachable_service_is_logged_as_a_warning_and_does_not_prevent_the_start(
    database: Database, scheme: str
) -> None:
    """Breaks when it is not logged: the application ran for days without a shared cache. An outage of Redis costs speed, not availability."""
    nobody = f"127.0.0.1:{free_port()}"
    settings = settings_of(f"redis://{nobody}/0", f"{scheme}://u:hunter2@{nobody}/")
    found = await look(settings, "tiny", database)
    assert found.degraded == ["cache", "rate_limits", "jobs"]
    for name, alone in (("cache", "of this machine"), ("jobs", "told of by the database")):
        assert found.services[name].startswith(f"{alone}, because R")
        assert f"at {nobody} cannot be reached: " in found.services[name]
    with capture_logs() as told:
        found.tell()
    assert [(one["event"], one["log_level"]) for one in told] == [("startup", "info"), ("startup_degraded", "warning")]
    assert "hunter2" not in str(told)
    assert any(line.startswith("  ! cache: of this machine, because") for line in found.lines())


async def test_replicas_are_checked_and_ignored_options_reported_at_start(postgres_server: str) -> None:
    """Breaks when a replica that is not there is not told of: the primary bears all reads."""
    gone = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d"
    url = f"{postgres_server}?channel_binding=prefer"
    replicas = (SecretStr(postgres_server), SecretStr(gone))
    async with open_database(url, 1) as database:
        settings = settings_of(database=DatabaseSettings(url=SecretStr(url), replica_urls=replicas))
        found = await look(settings, "tiny", database)
    assert "option channel_binding has no effect: the driver has none" in found.services["database"]
    assert found.services["replica 1"].startswith("PostgreSQL ")
    assert found.services["replica 2"].endswith("reads go to the primary")
    assert found.degraded == ["replica 2"]
    assert "hunter2" not in str(found)
