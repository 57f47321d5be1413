"""Detection of other machines on the same PostgreSQL database: every session holds a shared advisory lock with its
machine id.

A machine is the set of processes that map the same file of generations: the processes of one host that share
RUNTIME_DIR. Containers with separate temporary folders count as several machines, and so do two services of one host
with different folders. Every role may read pg_locks, and the server releases the lock when the session ends, even after
a crash.
"""

import socket
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import text

from restwell._folders import checked_writes
from restwell.cache._local import make_private_folder
from restwell.database import Database, query
from restwell.errors import ConfigurationError

REDIS_MACHINE_ID: Final = 0
"""The id of every machine that shares its cache through Redis."""

INSUFFICIENT_PRIVILEGE: Final = "42501"
"""The SQLSTATE of a missing permission in PostgreSQL. Its driver is optional, so its exception cannot be named here."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_list_machine_ids: Final = query(
    "cache_peers.list_machine_ids",
    text(
        "SELECT DISTINCT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = hashtext('restwell ' || :application || ' ' || coalesce(current_schema(), ''))::oid"
    ),
    into=int,
)


class Peers:
    """The machines of one application, by its name and schema.

    ``folder`` is the runtime folder of this machine; None with Redis.
    """

    def __init__(self, application: str, folder: Path | None) -> None:
        self._application = application
        self._folder = folder

    @cached_property
    def machine_id(self) -> int:
        """31 bits of a hash of the boot id, and of the device and inode of the file of generations."""
        if self._folder is None:
            return REDIS_MACHINE_ID
        make_private_folder(self._folder)
        with checked_writes(self._folder, "RUNTIME_DIR"), (self._folder / "generations").open("ab"):
            found = (self._folder / "generations").stat()
        kernel = _BOOT_ID.read_text() if _BOOT_ID.exists() else socket.gethostname()
        digest = sha256(f"{kernel} {found.st_dev} {found.st_ino}".encode()).digest()
        return int.from_bytes(digest[:4]) >> 1 or 1

    def session_start(self) -> str:
        """The SQL statement that every session of this machine runs first."""
        application = self._application.replace("'", "''")
        name = f"'restwell {application} ' || coalesce(current_schema(), '')"
        return f"SELECT pg_advisory_lock_shared(hashtext({name}), {self.machine_id})"

    async def count_others(self, database: Database) -> int:
        """The number of other machines with sessions in the database.

        Raises ConfigurationError if pg_locks cannot be read.
        """
        try:
            found = await database.primary.all(_list_machine_ids, application=self._application)
        except Exception as error:
            if getattr(error, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
                raise
            hint = "grant it SELECT on pg_locks, or set REDIS_URL"
            raise ConfigurationError([f"DATABASE_URL: its user may not read pg_locks; {hint}"]) from None
        return len({*found} - {self.machine_id})
