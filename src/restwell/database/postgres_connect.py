"""Opening connections to PostgreSQL: the settings of each session, the sockets' timeouts, and what is refused at the start."""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import asyncpg

from restwell.database_url import postgres_url
from restwell.errors import ConfigurationError

Connection = Any  # asyncpg brings no types

SESSION_SETTINGS: Final = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10s",
    # A client that is gone without a word: its locks are free again after half a minute at most.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
# The same from our side: a server that does not even acknowledge what was sent is given up on.
_SOCKET_OPTIONS: Final = [
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 20_000),
    )
    if hasattr(socket, name)  # the last is Linux's own
]
CANNOT_CONNECT: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, KeyError)
"""What the driver raises where it cannot connect at all; KeyError for a user of the system without a name."""
_OF_ANOTHER_SESSION: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_POOLER_TRIES: Final = 3


class Connector:
    """Opens connections to one URL. ``settings`` are those of each session, besides our own; then ``session_start`` gives a statement."""

    def __init__(
        self,
        url: str,
        connect_seconds: float,
        answer_seconds: float,
        settings: Mapping[str, str],
        session_start: Callable[[], str] | None = None,
    ) -> None:
        self._url = postgres_url(url)
        self._connect_seconds = self._url.connect_seconds or connect_seconds
        self._answer_seconds = answer_seconds
        self._settings = _set_all({**SESSION_SETTINGS, **settings, **self._url.session})
        self._session_start = session_start

    @property
    def where(self) -> str:
        return self._url.where

    async def connect(self) -> Connection:
        begin = self._settings if self._session_start is None else f"{self._settings}; {self._session_start()}"
        connection = await asyncpg.connect(
            **self._url.connect_arguments(), timeout=self._connect_seconds, command_timeout=self._answer_seconds
        )
        try:
            await connection.execute(begin)  # not as start-up parameters, which poolers refuse
        except BaseException:
            connection.terminate()
            raise
        wire = connection._transport.get_extra_info("socket")  # noqa: SLF001  # asyncpg has no other way to it
        if wire is not None and wire.family in {socket.AF_INET, socket.AF_INET6}:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _SOCKET_OPTIONS:
                wire.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    async def check(self, connection: Connection) -> None:
        """Raise ConfigurationError for a database that cannot store every text, and for a pooler that shares sessions."""
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            cure = "make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            raise ConfigurationError([f"DATABASE_URL: the encoding of {self.where} is {encoding}, not UTF8; {cure}"])
        if await self._is_behind_shared_sessions(connection):
            what = "a pooler in transaction mode, and restwell needs sessions of its own"
            cure = "use the pooler's session mode (PgBouncer: pool_mode = session) or the server's own address"
            raise ConfigurationError([f"DATABASE_URL: at {self.where} is {what}; {cure}"])

    async def _is_behind_shared_sessions(self, connection: Connection) -> bool:
        """Whether a second connection is given the session of this one, which is idle; not, if the pooler has none left to give."""
        try:
            if await _backend_of(connection) == connection.get_server_pid():
                return False  # there is no pooler, which would have made up a number
            second = await self.connect()
        except _OF_ANOTHER_SESSION:
            return True
        except TimeoutError:
            return False
        try:
            for _ in range(_POOLER_TRIES):
                if await _backend_of(connection) == await _backend_of(second):
                    return True
        except _OF_ANOTHER_SESSION:
            return True
        finally:
            second.terminate()
        return False


def reason(error: BaseException) -> str:
    """Why no connection could be opened, in one line, with what may help."""
    text = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"{text}; create it first: createdb"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"{text}; check user and password in DATABASE_URL, and the server's pg_hba.conf"
    if isinstance(error, TimeoutError):
        return "no answer in time; check host and port in DATABASE_URL, and the network between"
    if isinstance(error, ssl.SSLError):
        return f"{text}; sslrootcert in DATABASE_URL names the certificates that are trusted"
    return text


async def _backend_of(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


def _set_all(settings: Mapping[str, str]) -> str:
    quoted = [(name, value.replace("'", "''")) for name, value in settings.items()]
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in quoted)  # our own
