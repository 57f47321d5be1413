"""An application in production without a finding of ``restwell doctor``, and the faults that tests plant in it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import redis

from restwell.database import Migrations, open_database
from servers import RESTWELL, SUPPORT, Postgres, RedisServer, free_port, restwell, serve
from tiny.app import MIGRATIONS

PASSWORD: Final = "s3cr3t-Passw0rd"
SECRET: Final = "a-secret-of-the-tests-0123456789-abcdefghij"
CLOSED: Final = "127.0.0.1:1"


class Clinic:
    """A healthy application: its servers, its folder and its environment."""

    def __init__(self, folder: Path, postgres: Postgres, redis: RedisServer, mail_port: int) -> None:
        self.folder = folder
        self.postgres = postgres
        self.redis = redis
        self.certificate = folder / "mail.crt"
        self.environment = {
            "RESTWELL_APP": "doctor_app:healthy",
            "PYTHONPATH": str(SUPPORT),
            "RUNTIME_DIR": str(folder / "runtime"),
            "SECRETS_DIR": str(folder / "secrets"),
            "SSL_CERT_FILE": str(self.certificate),
            "APP_ENV": "production",
            "APP_URL": "https://notes.example",
            "TRUSTED_HOPS": "1",
            "CORS_ORIGINS": "https://app.notes.example",
            "DATABASE_URL": self.url("template"),
            "JWT_SECRET": SECRET,
            "MAIL_FROM": "notes@notes.example",
            "PORT": str(free_port()),
            "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0",
            "SMTP_URL": f"smtp://shop:p%40ss%2Fword@localhost:{mail_port}",
            "WORKERS": "1",
        }

    def url(self, database: str) -> str:
        return f"postgresql://restwell:{PASSWORD}@127.0.0.1:{self.postgres.port}/{database}"

    def redis_client(self) -> Any:
        return redis.Redis.from_url(self.environment["REDIS_URL"])

    async def sql(self, database: str, *statements: str) -> None:
        connection = await asyncpg.connect(self.url(database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def copy(self, options: str = "TEMPLATE template", *statements: str) -> dict[str, str]:
        """A new database, with the statements run in it."""
        name = f"copy_{free_port()}"
        await self.sql("postgres", f"CREATE DATABASE {name} {options}")
        await self.sql(name, *statements)
        return {"DATABASE_URL": self.url(name)}

    def doctor(self, *prefix: str, **environment: str) -> tuple[int, list[dict[str, str]]]:
        """The exit code and the findings, with these changes of the environment."""
        changed = {**self.environment, **environment}
        if prefix:
            command = [*prefix, sys.executable, "-m", "restwell", "doctor", "--json"]
            ran = subprocess.run(
                command, cwd=self.folder, env={**os.environ, **changed}, capture_output=True, text=True, check=False
            )
        else:
            ran = restwell("doctor", "--json", cwd=self.folder, **changed)
        assert not ran.stderr
        for secret in (PASSWORD, SECRET, "p@ss", "p%40ss"):
            assert secret not in ran.stdout
        return ran.returncode, json.loads(ran.stdout)


Plant = Callable[[Clinic], Any]


class Fault(NamedTuple):
    """``plant`` are changes of the environment, or a function that plants the fault and returns some."""

    name: str
    level: str
    place: str
    message: str
    plant: Mapping[str, str] | Plant
    prefix: tuple[str, ...] = ()


def env_file(text: str, mode: int = 0o600) -> Plant:
    @contextmanager
    def plant(clinic: Clinic) -> Iterator[dict[str, str]]:
        file = clinic.folder / ".env"
        file.write_text(text)
        file.chmod(mode)
        try:
            yield {}
        finally:
            file.unlink()

    return plant


def key_file(clinic: Clinic) -> dict[str, str]:
    key = clinic.folder / "token.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o644)
    return {"JWT_KEY_FILES": str(key)}


@contextmanager
def folder_as_secret(clinic: Clinic) -> Iterator[dict[str, str]]:
    folder = clinic.folder / "secrets/PORT"
    folder.mkdir()
    try:
        yield {}
    finally:
        folder.rmdir()


def database(options: str = "TEMPLATE template", *statements: str) -> Plant:
    return lambda clinic: clinic.copy(options, *statements)


async def other_collation(clinic: Clinic) -> dict[str, str]:
    """As after an upgrade of the operating system."""
    options = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C' TEMPLATE template0"
    return await clinic.copy(options, "UPDATE pg_database SET datcollversion = '1' WHERE datname = current_database()")


async def migrate(environment: dict[str, str]) -> dict[str, str]:
    async with open_database(environment["DATABASE_URL"], 1) as opened:
        await Migrations(MIGRATIONS).upgrade(opened)
    return environment


async def invalid_index(clinic: Clinic) -> dict[str, str]:
    rows = "CREATE TABLE doubles AS SELECT 1 AS n FROM generate_series(1, 2)"
    environment = await clinic.copy("TEMPLATE template", rows)
    name = environment["DATABASE_URL"].rpartition("/")[2]
    with suppress(asyncpg.UniqueViolationError):
        await clinic.sql(name, "CREATE UNIQUE INDEX CONCURRENTLY doubles_n ON doubles (n)")
    return environment


@asynccontextmanager
async def no_autovacuum(clinic: Clinic) -> AsyncIterator[dict[str, str]]:
    await clinic.sql("postgres", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()")
    try:
        yield {}
    finally:
        await clinic.sql("postgres", "ALTER SYSTEM RESET autovacuum", "SELECT pg_reload_conf()")


async def free_pages(clinic: Clinic) -> dict[str, str]:
    url = f"sqlite:///{clinic.folder / 'free.db'}"
    async with open_database(url, 1) as opened:
        await Migrations(MIGRATIONS).upgrade(opened)
        async with opened.migration() as tx:
            for statement in ("CREATE TABLE f (b)", "INSERT INTO f VALUES (zeroblob(40000000))", "DROP TABLE f"):
                await tx.run_script(statement)
    return {"DATABASE_URL": url}


def redis_settings(**settings: str) -> Plant:
    @contextmanager
    def plant(clinic: Clinic) -> Iterator[dict[str, str]]:
        client = clinic.redis_client()
        before = {name: client.config_get(name)[name] for name in settings}
        for name, value in settings.items():
            client.config_set(name, value or str(int(client.info()["used_memory"] * 1.05)))
        try:
            yield {}
        finally:
            for name, value in before.items():
                client.config_set(name, value)
            client.close()

    return plant


def redis_reader(clinic: Clinic) -> dict[str, str]:
    client = clinic.redis_client()
    client.execute_command("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+@read", "+@connection", "+info")
    client.close()
    return {"REDIS_URL": f"redis://reader:{PASSWORD}@127.0.0.1:{clinic.redis.port}/0"}


@contextmanager
def read_only_redis(clinic: Clinic) -> Iterator[dict[str, str]]:
    client = clinic.redis_client()
    client.replicaof("127.0.0.1", 1)
    try:
        yield {}
    finally:
        client.replicaof("NO", "ONE")
        client.close()


@contextmanager
def n_plus_one(clinic: Clinic) -> Iterator[dict[str, str]]:
    folder = clinic.folder / "served"
    folder.mkdir()
    environment = {**clinic.environment, "RESTWELL_APP": "doctor_app:faulty"}
    with serve(folder, RESTWELL, "serve", cwd=folder, **environment) as served:
        for _ in range(2):
            answer = httpx.get(f"{served.url}/v1/faults/repeated", headers={"host": "notes.example"})
            assert answer.status_code == 200, answer.text
        yield {"PORT": served.url.rpartition(":")[2]}


def smtp(scheme: str, user: str, host: str) -> Plant:
    port = {"closed": 1}

    def plant(clinic: Clinic) -> dict[str, str]:
        number = port.get(host) or clinic.environment["SMTP_URL"].rpartition(":")[2]
        return {"SMTP_URL": f"{scheme}://{user}@{'127.0.0.1' if host == 'closed' else host}:{number}"}

    return plant


TINY_DISK: Final = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none "$FILES_DIR" && exec "$@"', "sh")
ASYNCHRONOUS: Final = (
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$"
)
GROWN: Final = "INSERT INTO notes (id, text) SELECT n, 'a' FROM generate_series(1, 20000) n"
DEAD: Final = "CREATE TABLE dead WITH (autovacuum_enabled=off) AS SELECT n FROM generate_series(1, 30000) n"

FAULTS: Final = [
    # settings and secrets
    Fault("a value that is none", "error", "WORKERS", "integer", {"WORKERS": "many"}),
    Fault("a missing setting", "error", "APP_URL", "required in production", {"APP_URL": ""}),
    Fault("a weak secret", "error", "JWT_SECRET", "too weak", {"JWT_SECRET": "a" * 40}),
    Fault("a weak previous secret", "warning", "JWT_PREVIOUS_SECRETS", "token_urlsafe", {"JWT_PREVIOUS_SECRETS": "a"}),
    Fault("a misspelt name", "warning", "DATABSE_POOL_SIZE", "DATABASE_POOL_SIZE", env_file("DATABSE_POOL_SIZE=5")),
    Fault("a secret for all users", "warning", ".env", "chmod 600", env_file(f"JWT_SECRET={SECRET}", 0o644)),
    Fault("a key for all users", "warning", "token.pem", "chmod 600", key_file),
    Fault("a secret that is a folder", "error", "secrets/PORT", "must be a file", folder_as_secret),
    Fault("a local URL", "warning", "APP_URL", "public URL", {"APP_URL": "http://localhost:8000"}),
    Fault("no rate limits", "warning", "RATE_LIMIT_SCALE", "Set it to 1", {"RATE_LIMIT_SCALE": "0"}),
    Fault("logs of everything", "hint", "LOG_LEVEL", "Set it to info", {"LOG_LEVEL": "debug"}),
    Fault("mails that are not sent", "hint", "mail", "not sent", {"SMTP_URL": "folder:mail"}),
    # the database
    Fault("no database server", "error", "DATABASE_URL", "Start", {"DATABASE_URL": f"postgresql://u:x@{CLOSED}/a"}),
    Fault("no database", "error", "DATABASE_URL", "createdb", lambda clinic: {"DATABASE_URL": clinic.url("none")}),
    Fault("encoding", "error", "DATABASE_URL", "UTF8", database("ENCODING 'SQL_ASCII' TEMPLATE template0")),
    Fault(
        "acknowledged writes are lost",
        "warning",
        "DATABASE_URL",
        "synchronous_commit = on",
        database("TEMPLATE template", ASYNCHRONOUS),
    ),
    Fault("no autovacuum", "warning", "DATABASE_URL", "autovacuum = on", no_autovacuum),
    Fault("too many connections", "error", "DATABASE_POOL_SIZE", "set at most", {"DATABASE_POOL_SIZE": "400"}),
    Fault(
        "an old collation",
        "warning",
        "DATABASE_URL",
        "REFRESH COLLATION VERSION",
        lambda clinic: _then(other_collation(clinic), migrate),
    ),
    Fault(
        "an old extension",
        "hint",
        "extension pg_trgm",
        'ALTER EXTENSION "pg_trgm" UPDATE',
        database("TEMPLATE template", "CREATE EXTENSION pg_trgm VERSION '1.3'"),
    ),
    Fault(
        "an option without effect",
        "hint",
        "DATABASE_URL",
        "channel_binding",
        lambda clinic: {"DATABASE_URL": clinic.url("template?channel_binding=prefer")},
    ),
    Fault(
        "no replica", "warning", "DATABASE_REPLICA_URLS", "Start", {"DATABASE_REPLICA_URLS": f"postgres://{CLOSED}/a"}
    ),
    # the schema
    Fault("no migrations", "error", "migrations", "run restwell migrate", database("TEMPLATE template0")),
    Fault(
        "a newer schema",
        "error",
        "migrations",
        "deploy a newer release",
        database("TEMPLATE template", "INSERT INTO restwell_migrations VALUES ('application', '0009_later', 'post')"),
    ),
    Fault(
        "a foreign key without an index",
        "warning",
        "foreign key replies.replies_note_fkey",
        "Create an index",
        database("TEMPLATE template", "CREATE TABLE replies (note INTEGER REFERENCES notes)"),
    ),
    Fault("an invalid index", "warning", "index doubles_n", "DROP INDEX doubles_n", invalid_index),
    Fault(
        "a missing index",
        "warning",
        "query notes.of_text",
        "add an index",
        database("TEMPLATE template", GROWN, "ANALYZE notes"),
    ),
    Fault(
        "bloat",
        "hint",
        "table dead",
        "VACUUM ANALYZE dead",
        database("TEMPLATE template", DEAD, "UPDATE dead SET n = 1"),
    ),
    Fault(
        "a sequence that ends",
        "warning",
        "sequence short",
        "bigint",
        database("TEMPLATE template", "CREATE SEQUENCE short MAXVALUE 100", "SELECT setval('short', 90)"),
    ),
    Fault("free pages", "hint", "DATABASE_URL", "VACUUM", free_pages),
    # Redis, the broker and mail
    Fault("no Redis", "warning", "REDIS_URL", "Start it", {"REDIS_URL": f"redis://{CLOSED}/0"}),
    Fault(
        "a wrong password",
        "error",
        "REDIS_URL",
        "refused the user or password",
        lambda clinic: {"REDIS_URL": f"redis://:wrong@127.0.0.1:{clinic.redis.port}/0"},
    ),
    Fault("missing permissions", "error", "REDIS_URL", "ACL SETUSER", redis_reader),
    Fault("a read-only Redis", "error", "REDIS_URL", "read only", read_only_redis),
    Fault("eviction", "warning", "REDIS_URL", "noeviction", redis_settings(**{"maxmemory-policy": "allkeys-lru"})),
    Fault("a full Redis", "warning", "REDIS_URL", "Raise maxmemory", redis_settings(maxmemory="")),
    Fault("no broker", "warning", "JOBS_URL", "Start it", {"JOBS_URL": f"amqp://guest:{PASSWORD}@{CLOSED}/"}),
    Fault("no mail server", "error", "SMTP_URL", "Correct the host", smtp("smtp", "shop:x", "closed")),
    Fault("a wrong password of mail", "error", "SMTP_URL", "535", smtp("smtp", "shop:wrong", "localhost")),
    Fault("an untrusted certificate", "error", "SMTP_URL", "certificate", smtp("smtp", "shop:x", "127.0.0.1")),
    # the machine
    Fault("a clock that is ahead", "warning", "DATABASE_URL,REDIS_URL", "NTP", {}, ("faketime", "-f", "+1h")),
    Fault("a folder that is a file", "error", "FILES_DIR", "writable", {"FILES_DIR": "/dev/null/files"}),
    Fault("a small disk", "warning", "FILES_DIR", "enlarge the disk", {"FILES_DIR": "/mnt"}, TINY_DISK),
    Fault("few open files", "warning", "open files", "ulimit -n", {}, ("prlimit", "--nofile=256:256")),
    Fault("too many workers", "warning", "WORKERS", "WORKERS=auto", {"WORKERS": "3"}, ("taskset", "--cpu-list", "0")),
    Fault("caches above the memory", "warning", "CACHE_BYTES", "Lower", {"CACHE_BYTES": str(10**14)}),
    # clients
    Fault("a proxy that is not trusted", "warning", "TRUSTED_HOPS", "number of proxies", {"TRUSTED_HOPS": "0"}),
    Fault(
        "addresses that clients choose",
        "warning",
        "TRUSTED_HOPS",
        "only the proxies reach",
        {"APP_ENV": "test", "APP_URL": "", "HOST": "0.0.0.0"},  # noqa: S104  # nothing listens
    ),
    Fault("an origin without TLS", "warning", "CORS_ORIGINS", "https://", {"CORS_ORIGINS": "http://app.notes.example"}),
    Fault("an origin of everybody", "warning", "CORS_ORIGINS", "Remove it", {"CORS_ORIGINS": "https://localhost:3000"}),
    Fault("the own origin", "hint", "CORS_ORIGINS", "Remove it", {"CORS_ORIGINS": "https://notes.example"}),
    Fault("no guard", "hint", "POST /v1/faults", "guards=", {"RESTWELL_APP": "doctor_app:faulty"}),
    Fault("an N+1", "warning", "GET /v1/faults/repeated", "notes.list", n_plus_one),
    Fault("an application that fails", "error", "doctor_app.py", "LookupError", {"RESTWELL_APP": "doctor_app:broken"}),
]


async def _then(found: Any, work: Callable[[dict[str, str]], Any]) -> Any:
    return await work(await found)


@asynccontextmanager
async def planted(fault: Fault, clinic: Clinic) -> AsyncIterator[dict[str, str]]:
    """Plant the fault; after the block, remove it."""
    async with AsyncExitStack() as stack:
        plant = fault.plant(clinic) if callable(fault.plant) else fault.plant
        if isinstance(plant, AbstractContextManager):
            plant = stack.enter_context(plant)
        elif isinstance(plant, AbstractAsyncContextManager):
            plant = await stack.enter_async_context(plant)
        elif isinstance(plant, Awaitable):
            plant = await plant
        yield dict(plant)
