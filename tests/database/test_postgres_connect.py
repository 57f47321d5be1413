"""DATABASE_URL as hosting providers write it: each option is applied, ignored with a notice, or refused in one line."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from pooler import pooler, pooler_program
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
