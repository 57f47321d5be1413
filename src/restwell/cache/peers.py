"""Which machines use the application's PostgreSQL database: every session holds a shared advisory lock with the number of its machine.

A machine is what maps the same file of marks: the processes of one host that share a cache folder. Containers with a temporary folder of
their own are several machines, and so are two services of one host with different folders. Every role may read pg_locks, and the server
releases the lock when the session ends, however it ends.
"""

import socket
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import text

from restwell.cache.local import make_private_folder
from restwell.database import Database, query
from restwell.errors import ConfigurationError
from restwell.folders import checked_writes

WITH_REDIS: Final = 0
"""The number of every machine that shares its cache through Redis."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_machines: Final = query(
    "cache.machines",
    text(
        "SELECT DISTINCT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = hashtext('restwell ' || :application || ' ' || coalesce(current_schema(), ''))::oid"
    ),
    into=int,
)


class Peers:
    """The machines of one application: what has its name, in one schema. ``folder`` is this machine's; None with Redis."""

    def __init__(self, application: str, folder: Path | None) -> None:
        self._application = application
        self._folder = folder

    @cached_property
    def number(self) -> int:
        """This machine's: 31 bits of a hash of what the kernel knows the file by."""
        if self._folder is None:
            return WITH_REDIS
        make_private_folder(self._folder)
        with checked_writes(self._folder, "RUNTIME_DIR"), (self._folder / "marks").open("ab"):
            found = (self._folder / "marks").stat()
        kernel = _BOOT.read_text() if _BOOT.exists() else socket.gethostname()
        digest = sha256(f"{kernel} {found.st_dev} {found.st_ino}".encode()).digest()
        return int.from_bytes(digest[:4]) >> 1 or 1

    def session_start(self) -> str:
        """The statement that every session of this machine begins with."""
        application = self._application.replace("'", "''")
        name = f"'restwell {application} ' || coalesce(current_schema(), '')"
        return f"SELECT pg_advisory_lock_shared(hashtext({name}), {self.number})"

    async def others(self, database: Database) -> int:
        """How many other machines have sessions in the database now. Raises ConfigurationError where that is not shown."""
        try:
            found = await database.primary.all(_machines, application=self._application)
        except asyncpg.InsufficientPrivilegeError:
            cure = "GRANT SELECT ON pg_locks to it, or set REDIS_URL, which needs none"
            raise ConfigurationError([f"DATABASE_URL: its user may not read pg_locks; {cure}"]) from None
        return len({*found} - {self.number})
