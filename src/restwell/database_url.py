"""``DATABASE_URL``: which options the driver is given, which the kit honours itself, which have no effect here, and what is refused."""

import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

APPLICATION_NAME: Final = "restwell"
NAME_BYTES: Final = 63
"""PostgreSQL cuts off what is longer."""

_HOST: Final = r"(?:\[[0-9a-fA-F:.]+\]|[^@:/?#\[\],\s]*)(?::\d{1,5})?"
_AUTHORITY: Final = re.compile(rf"(?:[^@/?#\s]*@)?{_HOST}(?:,{_HOST})*")
_SQLITE: Final = "must name a file: sqlite:///var/app.db (relative) or sqlite:////srv/app.db (absolute)"
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TARGETS: Final = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_FILES: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_TLS: Final = dict.fromkeys(("true", "1", "require"), "require") | dict.fromkeys(("false", "0", "disable"), "disable")
_CHOICES: Final = {
    "ssl": tuple(_TLS),
    "sslmode": _MODES,
    "target_session_attrs": _TARGETS,
    "sslnegotiation": ("postgres", "direct"),
}
_RANGES: Final = {"connect_timeout": (1, 600), "statement_cache_size": (0, 10_000)}
_DRIVER: Final = frozenset(
    ("host", "port", "dbname", "user", "password", "passfile", "service", "krbsrvname", "gsslib", "sslmode", *_FILES)
) | {"target_session_attrs", "sslnegotiation", "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version"}
_OURS: Final = frozenset(("application_name", "options", "schema", "search_path", "ssl", *_RANGES))
SUPPORTED: Final = tuple(sorted(_DRIVER | _OURS))
_TIME: Final = "REQUEST_TIMEOUT_SECONDS limits every statement and lock"
_POOL: Final = "DATABASE_POOL_SIZE is the limit of connections"
_KEEPALIVE: Final = "TCP keepalives are always on"
IGNORED: Final = {
    "channel_binding": "the driver has none; sslmode=verify-full makes sure of the server",
    "client_encoding": "it is always UTF8",
    "connection_limit": _POOL,
    "fallback_application_name": "application_name is set",
    "gssencmode": "the driver encrypts by TLS only",
    "idle_in_transaction_session_timeout": _TIME,
    **dict.fromkeys(("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"), _KEEPALIVE),
    "lock_timeout": _TIME,
    "pgbouncer": "a pooler is recognised when the application starts",
    "pool_size": _POOL,
    "pool_timeout": _POOL,
    "socket_timeout": _TIME,
    "sslcompression": "TLS is never compressed",
    "sslsni": "it is always sent",
    "statement_timeout": _TIME,
    "supa": "it is for the provider's own use",
    "tcp_user_timeout": _KEEPALIVE,
    "timezone": "it is always UTC",
    "uselibpqcompat": "it is for another driver",
    "workaround": "it is for another driver",
}
"""What providers put into URLs and has no effect here, and why."""


class PostgresUrl(Struct, frozen=True):
    """A URL of PostgreSQL, taken apart.

    ``dsn`` is for the driver; ``start_up`` are settings that a server, or a pooler, must know when a connection begins; ``session`` are set
    after that. ``where`` is the server and the database, without a secret; ``ignored`` names options without an effect.
    """

    dsn: str
    where: str
    start_up: dict[str, str]
    session: dict[str, str]
    connect_seconds: float | None
    statement_cache_size: int | None
    ignored: tuple[str, ...]

    def connect_arguments(self) -> dict[str, Any]:
        """What the driver's ``connect`` is given, but for its timeouts."""
        size = {} if self.statement_cache_size is None else {"statement_cache_size": self.statement_cache_size}
        return {"dsn": self.dsn, "server_settings": self.start_up, **size}


def sqlite_path(url: str) -> Path:
    """The file of a ``sqlite:///`` URL. Raises ValueError for a URL without one."""
    scheme, _, rest = url.partition("://")
    path = rest.removeprefix("/")
    if scheme != "sqlite" or not rest.startswith("/") or not path.strip("/") or not path.isprintable():
        raise ValueError(_SQLITE)
    if path.startswith(":memory:"):
        raise ValueError(
            f"a database in memory is gone with its connection, and each process would have its own; {_SQLITE}"
        )
    if set(path) & set("?#"):
        raise ValueError(f"SQLite has no options here; {_SQLITE}")
    return Path(path)


@lru_cache(maxsize=64)
def postgres_url(url: str) -> PostgresUrl:
    """Take a URL of PostgreSQL apart. Raises ValueError, which names what is wrong and never a secret."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise ValueError("must begin with postgresql://")
    parts = _split(url)
    if parts is None or parts.fragment or not url.isprintable() or not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(
            "must be postgresql://user:password@host:5432/name; what of user or password is not a letter, a digit or one of -._~ is"
            " percent-encoded"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _check(options)
    driver = {name: value for name, value in options.items() if name in _DRIVER}
    if "ssl" in options:
        driver.setdefault("sslmode", _TLS[options["ssl"]])
    if driver.get("sslrootcert") == "system":
        driver["sslrootcert"] = _system_certificates()
    start_up = {"application_name": options.get("application_name", APPLICATION_NAME)}
    if "options" in options:
        start_up["options"] = options["options"]
    session = {}
    if "search_path" in options or "schema" in options:
        session["search_path"] = options.get("search_path") or _quoted(options["schema"])
    seconds, size = options.get("connect_timeout"), options.get("statement_cache_size")
    hosts = unquote(parts.netloc.rpartition("@")[2]) or options.get("host", "localhost")
    return PostgresUrl(
        dsn=f"postgresql://{parts.netloc}{parts.path}{'?' if driver else ''}{urlencode(driver)}",
        where=f"{hosts}/{unquote(parts.path).removeprefix('/') or options.get('dbname', '')}".rstrip("/"),
        start_up=start_up,
        session=session,
        connect_seconds=float(seconds) if seconds is not None else None,
        statement_cache_size=int(size) if size is not None else None,
        ignored=tuple(sorted(options.keys() & IGNORED.keys())),
    )


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # a bracket that is not closed
        return None


def _check(options: dict[str, str]) -> None:
    if unknown := sorted(options.keys() - IGNORED.keys() - set(SUPPORTED)):
        raise ValueError(f"unknown option {', '.join(unknown)}; there are {', '.join(SUPPORTED)}")
    for name in options.keys() - IGNORED.keys():
        _check_option(name, options[name])


def _check_option(name: str, value: str) -> None:
    if not value:
        raise ValueError(f"option {name} has no value")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"option {name} must be one of {', '.join(_CHOICES[name])}")
    if name in _RANGES:
        least, most = _RANGES[name]
        if not re.fullmatch(r"[0-9]{1,5}", value) or not least <= int(value) <= most:
            raise ValueError(f"option {name} must be a whole number from {least} to {most}")
    if name in _FILES and (name, value) != ("sslrootcert", "system"):
        _check_readable(name, value)
    if name == "port" and not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", value):
        raise ValueError("option port must be a number")
    if name == "application_name" and (len(value) > NAME_BYTES or not (value.isascii() and value.isprintable())):
        raise ValueError(f"option application_name must be at most {NAME_BYTES} ASCII characters")


def _check_readable(name: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"option {name}: {file} cannot be read: {error.strerror}") from None


def _system_certificates() -> str:
    paths = ssl.get_default_verify_paths()
    for file in (paths.cafile or "", paths.openssl_cafile):
        if Path(file).is_file():
            return file
    raise ValueError("option sslrootcert: this system has no file of certificates; name one")


def _quoted(schema: str) -> str:
    return '"' + schema.replace('"', '""') + '"'
