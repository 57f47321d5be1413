"""Parses ``DATABASE_URL``. Each option goes to the driver, is applied by the kit, has no effect, or is an error."""

import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from msgspec import Struct

APPLICATION_NAME: Final = "restwell"
MAX_NAME_BYTES: Final = 63
"""PostgreSQL truncates longer names."""

_HOST: Final = r"(?:\[[0-9a-fA-F:.]+\]|[^@:/?#\[\],\s]*)(?::\d{1,5})?"
_AUTHORITY: Final = re.compile(rf"(?:[^@/?#\s]*@)?{_HOST}(?:,{_HOST})*")
_SQLITE_FORM: Final = "must name a file: sqlite:///var/app.db (relative) or sqlite:////srv/app.db (absolute)"
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSION_ATTRIBUTES: Final = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_FILE_OPTIONS: Final = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_TLS: Final = dict.fromkeys(("true", "1", "require"), "require") | dict.fromkeys(("false", "0", "disable"), "disable")
_CHOICES: Final = {
    "ssl": tuple(_TLS),
    "sslmode": _MODES,
    "target_session_attrs": _SESSION_ATTRIBUTES,
    "sslnegotiation": ("postgres", "direct"),
}
_RANGES: Final = {"connect_timeout": (1, 600), "statement_cache_size": (0, 10_000)}
_DRIVER_OPTIONS: Final = frozenset(
    (
        "host",
        "port",
        "dbname",
        "user",
        "password",
        "passfile",
        "service",
        "krbsrvname",
        "gsslib",
        "sslmode",
        *_FILE_OPTIONS,
    )
) | {"target_session_attrs", "sslnegotiation", "sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version"}
_KIT_OPTIONS: Final = frozenset(("application_name", "options", "schema", "search_path", "ssl", *_RANGES))
SUPPORTED_OPTIONS: Final = tuple(sorted(_DRIVER_OPTIONS | _KIT_OPTIONS))
_TIMEOUT: Final = "REQUEST_TIMEOUT_SECONDS limits every statement and lock"
_POOL: Final = "DATABASE_POOL_SIZE is the limit of connections"
_KEEPALIVE: Final = "TCP keepalives are always on"
IGNORED_OPTIONS: Final = {
    "channel_binding": "the driver does not support it; sslmode=verify-full authenticates the server",
    "client_encoding": "the encoding is always UTF8",
    "connection_limit": _POOL,
    "fallback_application_name": "application_name is set",
    "gssencmode": "the driver supports TLS only",
    "idle_in_transaction_session_timeout": _TIMEOUT,
    **dict.fromkeys(("keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"), _KEEPALIVE),
    "lock_timeout": _TIMEOUT,
    "pgbouncer": "a pooler is detected at startup",
    "pool_size": _POOL,
    "pool_timeout": _POOL,
    "socket_timeout": _TIMEOUT,
    "sslcompression": "TLS compression is never used",
    "sslsni": "SNI is always sent",
    "statement_timeout": _TIMEOUT,
    "supa": "it is for internal use of the provider",
    "tcp_user_timeout": _KEEPALIVE,
    "timezone": "the time zone is always UTC",
    "uselibpqcompat": "it is for another driver",
    "workaround": "it is for another driver",
}
"""Options that hosting providers add to URLs and that have no effect, with the reason."""


class PostgresUrl(Struct, frozen=True):
    """A parsed PostgreSQL URL.

    ``dsn`` is for the driver. ``startup`` are the startup parameters of a connection; ``session`` are settings that are
    applied afterwards. ``where`` is the server and the database, without credentials. ``ignored`` are the options
    without an effect.
    """

    dsn: str
    where: str
    startup: dict[str, str]
    session: dict[str, str]
    connect_seconds: float | None
    statement_cache_size: int | None
    ignored: tuple[str, ...]

    def connect_arguments(self) -> dict[str, Any]:
        """The arguments of the driver's ``connect``, except for its timeouts."""
        size = {} if self.statement_cache_size is None else {"statement_cache_size": self.statement_cache_size}
        return {"dsn": self.dsn, "server_settings": self.startup, **size}


def sqlite_path(url: str) -> Path:
    """The file of a ``sqlite:///`` URL. Raises ValueError if the URL has none."""
    scheme, _, rest = url.partition("://")
    path = rest.removeprefix("/")
    if scheme != "sqlite" or not rest.startswith("/") or not path.strip("/") or not path.isprintable():
        raise ValueError(_SQLITE_FORM)
    if path.startswith(":memory:"):
        raise ValueError(f"an in-memory database is not shared by connections and processes; {_SQLITE_FORM}")
    if set(path) & set("?#"):
        raise ValueError(f"options are not supported for SQLite; {_SQLITE_FORM}")
    return Path(path)


@lru_cache(maxsize=64)
def postgres_url(url: str) -> PostgresUrl:
    """Parse a PostgreSQL URL. Raises ValueError with the reason, never with a secret."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise ValueError("must begin with postgresql://")
    parts = _split(url)
    if parts is None or parts.fragment or not url.isprintable() or not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(
            "must be postgresql://user:password@host:5432/name; percent-encode the characters of user and password"
            " other than letters, digits and -._~"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _check_options(options)
    driver = {name: value for name, value in options.items() if name in _DRIVER_OPTIONS}
    if "ssl" in options:
        driver.setdefault("sslmode", _TLS[options["ssl"]])
    if driver.get("sslrootcert") == "system":
        driver["sslrootcert"] = _system_certificates()
    startup = {"application_name": options.get("application_name", APPLICATION_NAME)}
    if "options" in options:
        startup["options"] = options["options"]
    session = {}
    if "search_path" in options or "schema" in options:
        session["search_path"] = options.get("search_path") or _quote_identifier(options["schema"])
    seconds, size = options.get("connect_timeout"), options.get("statement_cache_size")
    hosts = unquote(parts.netloc.rpartition("@")[2]) or options.get("host", "localhost")
    return PostgresUrl(
        dsn=f"postgresql://{parts.netloc}{parts.path}{'?' if driver else ''}{urlencode(driver)}",
        where=f"{hosts}/{unquote(parts.path).removeprefix('/') or options.get('dbname', '')}".rstrip("/"),
        startup=startup,
        session=session,
        connect_seconds=float(seconds) if seconds is not None else None,
        statement_cache_size=int(size) if size is not None else None,
        ignored=tuple(sorted(options.keys() & IGNORED_OPTIONS.keys())),
    )


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # an unclosed bracket
        return None


def _check_options(options: dict[str, str]) -> None:
    if unknown := sorted(options.keys() - IGNORED_OPTIONS.keys() - set(SUPPORTED_OPTIONS)):
        raise ValueError(f"unknown option {', '.join(unknown)}; supported are {', '.join(SUPPORTED_OPTIONS)}")
    for name in options.keys() - IGNORED_OPTIONS.keys():
        _check_option(name, options[name])


def _check_option(name: str, value: str) -> None:
    if not value:
        raise ValueError(f"option {name} has no value")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise ValueError(f"option {name} must be one of {', '.join(_CHOICES[name])}")
    if name in _RANGES:
        minimum, maximum = _RANGES[name]
        if not re.fullmatch(r"[0-9]{1,5}", value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"option {name} must be a whole number from {minimum} to {maximum}")
    if name in _FILE_OPTIONS and (name, value) != ("sslrootcert", "system"):
        _check_readable(name, value)
    if name == "port" and not re.fullmatch(r"[0-9]{1,5}(,[0-9]{1,5})*", value):
        raise ValueError("option port must be a number")
    if name == "application_name" and (len(value) > MAX_NAME_BYTES or not (value.isascii() and value.isprintable())):
        raise ValueError(f"option application_name must be at most {MAX_NAME_BYTES} ASCII characters")


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
    raise ValueError("option sslrootcert: this system has no CA certificates file; name one")


def _quote_identifier(schema: str) -> str:
    return '"' + schema.replace('"', '""') + '"'
