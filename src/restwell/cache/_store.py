"""The interface of level 2, the store that processes share. It stores values and the generations of their tags."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from restwell.database import Transaction

LEASE_SECONDS: Final = 2.0
"""How long other processes wait for the process that loads a value."""
WRITE_TIMEOUT_SECONDS: Final = 30.0
"""How long a write blocks caching of its tags if its outcome is unknown."""

Generation = tuple[str | int, str | int]
Generations = tuple[Generation, ...]
"""For each tag, its location in the store and its generation. Every write changes the generations of its tags."""


class StoreUnavailable(Exception):
    """The store cannot be reached. ``Cache`` handles it; callers of ``Cache.get_or_load`` never see it."""


class StoreLookup(NamedTuple):
    """The state of a key.

    ``generations`` is None while a write to one of its tags is in progress; then nothing may be cached.
    """

    generations: Generations | None
    data: bytes | None


class PendingWrite(NamedTuple):
    """A write in progress, with the new generations of its tags.

    ``suspended_at`` is set if the tags were recorded in the database because the store could not be reached.
    """

    generations: Mapping[str, Generation]
    suspended_at: datetime | None = None


class Store(ABC):
    """A store shared by the processes of one machine (``_local.py``) or of several (``_redis.py``).

    Methods raise StoreUnavailable.
    """

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @property
    @abstractmethod
    def available(self) -> bool:
        """Whether the store may be used. If not, every read goes to the database."""

    @abstractmethod
    def is_current_nowait(self, generations: Generations) -> bool | None:
        """Whether the generations are still current, if that is known without I/O; None if ``is_current`` must be
        awaited.
        """

    @abstractmethod
    async def is_current(self, generations: Generations) -> bool:
        """Whether the generations are still current, as of a moment after this call began."""

    @abstractmethod
    async def get(self, key: str, tags: Sequence[str]) -> StoreLookup:
        """The stored value of the key, if any, and the current generations of the tags."""

    @abstractmethod
    async def generations(self, tags: Sequence[str]) -> list[Generation | None]:
        """The current generation of each tag; None while a write to it is in progress."""

    @abstractmethod
    async def acquire_lease(self, key: str, tags: Sequence[str]) -> tuple[bool, StoreLookup]:
        """Acquire the exclusive right to load the key, for LEASE_SECONDS, then get the key.

        The first item is False if another process holds the lease. The lookup includes every value stored before the
        lease was acquired.
        """

    @abstractmethod
    async def set(self, key: str, data: bytes, ttl_seconds: float) -> None:
        """Store a value and release the lease of the key."""

    @abstractmethod
    async def release_lease(self, key: str) -> None: ...

    @abstractmethod
    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> PendingWrite:
        """Invalidate the tags before a commit. Their values are not cached again until ``end_write``.

        If the process dies before that, caching resumes when the transaction can no longer be in progress.
        """

    @abstractmethod
    async def end_write(self, write: PendingWrite) -> bool:
        """Allow caching of the tags again, after the commit.

        Return whether no other write to the tags overlapped; the generations of this write are then current.
        """

    @abstractmethod
    async def invalidate(self, tags: Sequence[str] | None) -> None:
        """Invalidate every value with one of the tags; None invalidates all values."""
