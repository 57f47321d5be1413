"""DATABASE_URL: what is accepted, what is ignored with a notice, and what is refused in one line."""

from pathlib import Path

import pytest

from restwell._database_url import IGNORED_OPTIONS, SUPPORTED_OPTIONS, postgres_url, sqlite_path

NEON = "sslmode=prefer&channel_binding=require"
PRISMA = "schema=shop&connection_limit=5&pool_timeout=10&pgbouncer=true"


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
