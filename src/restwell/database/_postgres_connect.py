"""Opens PostgreSQL connections: session settings, socket options, and checks at startup."""

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import asyncpg

from restwell._database_url import postgres_url
from restwell.errors import ConfigurationError

Connection = Any  # asyncpg has no type hints

SESSION_SETTINGS: Final = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10s",
    # Releases the locks of a client that vanished after at most half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
# The same on the client side: the connection fails if the server does not acknowledge packets.
_SOCKET_OPTIONS: Final = [
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 20_000),
    )
    if hasattr(socket, name)  # TCP_USER_TIMEOUT exists on Linux only
]
CANNOT_CONNECT: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, KeyError)
"""What the driver raises if it cannot connect. KeyError: the user id has no entry in the system's user database."""
_SHARED_SESSION: Final = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_POOLER_TRIES: Final = 3


class Connector:
    """Opens connections to one URL, each with SESSION_SETTINGS, ``settings`` and the SQL that ``session_start``
    returns.
    """

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
        setup = self._settings if self._session_start is None else f"{self._settings}; {self._session_start()}"
        connection = await asyncpg.connect(
            **self._url.connect_arguments(), timeout=self._connect_seconds, command_timeout=self._answer_seconds
        )
        try:
            await connection.execute(setup)  # not as startup parameters, which poolers reject
        except BaseException:
            connection.terminate()
            raise
        sock = connection._transport.get_extra_info("socket")  # noqa: SLF001  # asyncpg has no public access to it
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _SOCKET_OPTIONS:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    async def check(self, connection: Connection) -> None:
        """Raises ConfigurationError if the database encoding is not UTF8, or if a pooler shares sessions."""
        encoding = connection.get_settings().server_encoding
        if encoding != "UTF8":
            hint = "create one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            raise ConfigurationError([f"DATABASE_URL: the encoding of {self.where} is {encoding}, not UTF8; {hint}"])
        if await self._is_behind_shared_sessions(connection):
            what = "a pooler in transaction mode, and restwell needs session mode"
            hint = "use the pooler's session mode (PgBouncer: pool_mode = session) or the server's own address"
            raise ConfigurationError([f"DATABASE_URL: at {self.where} is {what}; {hint}"])

    async def _is_behind_shared_sessions(self, connection: Connection) -> bool:
        """Whether a second connection gets the session of this idle one.

        False also if the pooler has no free session.
        """
        try:
            if await _backend_of(connection) == connection.get_server_pid():
                return False  # no pooler: a pooler reports a made-up process id
            second = await self.connect()
        except _SHARED_SESSION:
            return True
        except TimeoutError:
            return False
        try:
            for _ in range(_POOLER_TRIES):
                if await _backend_of(connection) == await _backend_of(second):
                    return True
        except _SHARED_SESSION:
            return True
        finally:
            second.terminate()
        return False


def reason(error: BaseException) -> str:
    """The reason for a failed connection, with a hint, in one line."""
    text = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"{text}; create it first: createdb"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return f"{text}; check user and password in DATABASE_URL, and the server's pg_hba.conf"
    if isinstance(error, TimeoutError):
        return "timeout; check host and port in DATABASE_URL, and the network"
    if isinstance(error, ssl.SSLError):
        return f"{text}; sslrootcert in DATABASE_URL names the trusted certificates"
    return text


async def _backend_of(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


def _set_all(settings: Mapping[str, str]) -> str:
    quoted = [(name, value.replace("'", "''")) for name, value in settings.items()]
    return "SELECT " + ", ".join(
        f"set_config('{name}', '{value}', false)" for name, value in quoted
    )  # constants and checked values
