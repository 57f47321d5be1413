"""DATABASE_URL as hosting providers write it: each option is applied, ignored with a notice, or refused in one line."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from pooler import pooler, pooler_program
from restwell._database_url import IGNORED_OPTIONS, SUPPORTED_OPTIONS, postgres_url, sqlite_path
from restwell.database import DatabaseUnavailable, open_database, query
from restwell.errors import ConfigurationError
from servers import free_port

NEON = "sslmode=prefer&channel_binding=require"
PRISMA = "schema=shop&connection_limit=5&pool_timeout=10&pgbouncer=true"
LIBPQ = (
    "connect_timeout=10&keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=9000"
    "&target_session_attrs=any&gssencmode=disable&client_encoding=utf8"
    "&options=-c%20work_mem%3D5MB&application_name=our%20shop"
)


async def setting(url: str, name: str) -> str:
    async with open_database(url, 1) as database:
        value: str = await database.one(query("test.setting", text(f"SELECT current_setting('{name}')"), into=str))
        return value


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (NEON, "application_name", "restwell"),
        (PRISMA, "search_path", '"shop"'),
        ("search_path=shop,public", "search_path", "shop,public"),
        ("schema=a'\"b", "search_path", '"a\'""b"'),
        (LIBPQ, "application_name", "our shop"),
        (LIBPQ, "work_mem", "5MB"),
        ("ssl=false", "TimeZone", "UTC"),
        ("statement_cache_size=0", "statement_timeout", "4s"),
        ("statement_timeout=1&lock_timeout=1&idle_in_transaction_session_timeout=1", "statement_timeout", "4s"),
    ],
)
async def test_an_option_in_the_url_of_a_provider_is_applied_or_ignored(
    postgres_server: str, options: str, name: str, value: str
) -> None:
    """Breaks when unknown options are sent to the server: channel_binding or pgbouncer then cause a stack trace."""
    assert await setting(f"{postgres_server}?{options}", name) == value


def test_ignored_options_of_a_url_are_listed() -> None:
    assert postgres_url(f"postgresql://h/d?{NEON}").ignored == ("channel_binding",)
    assert postgres_url(f"postgresql://h/d?{PRISMA}").ignored == ("connection_limit", "pgbouncer", "pool_timeout")
    assert postgres_url("postgresql://h/d?connect_timeout=10").connect_seconds == 10
    assert not IGNORED_OPTIONS.keys() & set(SUPPORTED_OPTIONS)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "postgresql://u:hunter2@h/d?sslmod=require",
            "unknown option sslmod; supported are application_name, connect_timeout",
        ),
        ("postgresql://u:hunter2@h/d?foo", "unknown option foo"),
        ("postgresql://u:hunter2@h/d?work_mem=5MB", "unknown option work_mem"),
        ("postgresql://u:hunter2@h/d?sslmode=sure", "option sslmode must be one of disable, allow"),
        ("postgresql://u:hunter2@h/d?ssl=maybe", "option ssl must be one of"),
        ("postgresql://u:hunter2@h/d?target_session_attrs=best", "option target_session_attrs must be one of any"),
        ("postgresql://u:hunter2@h/d?sslnegotiation=x", "option sslnegotiation must be one of"),
        ("postgresql://u:hunter2@h/d?connect_timeout=0", "option connect_timeout must be a whole number from 1 to 600"),
        ("postgresql://u:hunter2@h/d?connect_timeout=1s", "option connect_timeout must be a whole number"),
        ("postgresql://u:hunter2@h/d?statement_cache_size=-1", "option statement_cache_size must be"),
        ("postgresql://u:hunter2@h/d?schema=", "option schema has no value"),
        ("postgresql://u:hunter2@h/d?port=x", "option port must be a number"),
        (f"postgresql://u:hunter2@h/d?application_name={'n' * 64}", "option application_name must be at most 63"),
        (
            "postgresql://u:hunter2@h/d?sslrootcert=/none/ca.pem",
            "option sslrootcert: /none/ca.pem cannot be read: No such file",
        ),
        ("postgresql://u:hunter2@h/d?sslrootcert=/tmp", "option sslrootcert: /tmp cannot be read"),
        ("postgresql://u:hunter2@h:port/d", "must be postgresql://user:password@host:5432/name"),
        ("postgresql://u:hunt/er2@h/d", "percent-encode"),
        ("postgresql://u:hunt#er2@h/d", "percent-encode"),
        ("postgresql://u:hunt@er2@h/d", "percent-encode"),
        ("postgresql://u:hunt er2@h/d", "percent-encode"),
        ("postgresql://u:hunter2@[::1/d", "percent-encode"),
        ("postgresql://u:hunter2@h/d\n", "percent-encode"),
        ("postgresql:/u:hunter2@h/d", "must begin with postgresql://"),
        ("postgresql+asyncpg://u:hunter2@h/d", "must begin with postgresql://"),
    ],
)
def test_an_unusable_url_is_refused_in_one_line_without_a_secret(url: str, words: str) -> None:
    """Breaks when only the scheme is checked: the start then fails with a stack trace, some with the password."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the message is checked below
        postgres_url(url)
    assert words in str(raised.value)
    assert "er2" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/d",
        "postgres://user:p%40ss%2F@h:5432/d",
        "postgresql:///d?host=/var/run/postgresql&user=u",
        "postgresql://u@%2Ftmp/d",
        "postgresql://u:p@one:5432,two:5433/d?target_session_attrs=primary",
        "postgresql://u:p@[::1]:5432/d?sslmode=verify-full&sslrootcert=system",
    ],
)
def test_a_url_that_the_driver_accepts_is_accepted(url: str) -> None:
    assert "p%40ss" not in postgres_url(url).where
    assert postgres_url(url).dsn.startswith("postgresql://")


@pytest.mark.parametrize(
    "url", ["q.db?mode=ro", "q.db?", "q#1.db", ":memory:", ":memory:?cache=shared", "", "/", "a\0b"]
)
def test_an_sqlite_url_names_a_file_and_nothing_else(url: str, tmp_path: Path) -> None:
    """Breaks when the rest is taken as the file name: q.db?mode=ro was a file, and :memory: was lost after migrate."""
    with pytest.raises(ValueError, match="must name a file: sqlite:///var/app"):
        sqlite_path(f"sqlite:///{url}")
    assert sqlite_path(f"sqlite:///{tmp_path}/a b%20ü.db") == tmp_path / "a b%20ü.db"


@pytest.fixture
async def latin1_url(postgres_server: str) -> AsyncIterator[str]:
    outside = await asyncpg.connect(postgres_server)
    await outside.execute("DROP DATABASE IF EXISTS latin1")
    await outside.execute("CREATE DATABASE latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    yield f"{postgres_server.rpartition('/')[0]}/latin1"
    await outside.execute("DROP DATABASE latin1 WITH (FORCE)")
    await outside.close()


async def test_a_database_that_is_not_utf8_is_refused(latin1_url: str) -> None:
    """Breaks without the check: the first character outside Latin-1 is then a 500."""
    with pytest.raises(
        ConfigurationError, match=r"the encoding of .*/latin1 is LATIN1, not UTF8; create one with CREATE DATABASE"
    ):
        await open_database(latin1_url).start()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"database": "missing"}, 'database "missing" does not exist; create it first'),
        ({"user": "stranger"}, 'role "stranger" does not exist; check user and password'),
        ({"options": "?options=-c%20no_such=1"}, "unrecognized configuration parameter"),
        ({"options": "?sslmode=require"}, "rejected SSL upgrade"),
        ({"port": "1"}, "Connect call failed"),
        ({"host": "no-such-host.invalid"}, "Name or service not known"),
    ],
)
async def test_a_failed_connection_is_reported_in_one_line(
    postgres_server: str, change: dict[str, str], words: str
) -> None:
    """Breaks when the error of the driver is not translated: it is then a stack trace."""
    port = change.get("port", postgres_server.rpartition(":")[2].partition("/")[0])
    where = f"{change.get('host', '127.0.0.1')}:{port}/{change.get('database', 'postgres')}"
    url = f"postgresql://{change.get('user', 'restwell')}:hunter2@{where}{change.get('options', '')}"
    with pytest.raises(DatabaseUnavailable) as raised:
        await open_database(url).start()
    assert raised.value.detail.startswith(f"PostgreSQL at {where}: ")
    assert words in raised.value.detail
    assert "\n" not in raised.value.detail
    assert "hunter2" not in raised.value.detail


@pytest.fixture
def pooler_mode(request: pytest.FixtureRequest) -> str:
    if pooler_program() is None:
        pytest.skip("needs a server that is not on this machine: PgBouncer (apt-get install pgbouncer)")
    mode: str = request.param
    return mode


@pytest.mark.parametrize("pooler_mode", ["session"], indirect=True)
async def test_the_database_works_behind_a_pooler_in_session_mode(postgres_server: str, pooler_mode: str) -> None:
    """Breaks when session settings are startup parameters: PgBouncer rejects most of them."""
    with pooler(postgres_server, pooler_mode) as url:
        assert await setting(url, "statement_timeout") == "4s"
        assert await setting(f"{url}?schema=shop&{NEON}", "search_path") == '"shop"'
        async with open_database(url, 4) as database, database.transaction() as one, database.transaction() as two:
            pid = query("test.pid", text("SELECT pg_backend_pid()"), into=int)
            assert await one.one(pid) != await two.one(pid)


@pytest.mark.parametrize("pooler_mode", ["transaction", "statement"], indirect=True)
async def test_a_pooler_that_shares_sessions_is_refused(postgres_server: str, pooler_mode: str) -> None:
    """Breaks without the check: prepared statements and settings of one session are then missing in another."""
    words = r"is a pooler in transaction mode.*pool_mode = session"
    with pooler(postgres_server, pooler_mode) as url, pytest.raises(ConfigurationError, match=words):
        await open_database(url).start()


async def test_a_closed_port_is_reported_in_one_line() -> None:
    with pytest.raises(DatabaseUnavailable, match="Connect call failed"):
        await open_database(f"postgresql://u@127.0.0.1:{free_port()}/d").start()
