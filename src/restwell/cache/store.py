"""Level two: what processes share. It keeps values, and the marks that tell whether a value is still current."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from restwell.database import Transaction

LEASE_SECONDS: Final = 2.0
"""How long others wait for the process that reads a value for all."""
WRITE_SECONDS: Final = 30.0
"""How long a tag stays closed for a write whose end is not known."""

Mark = tuple[str | int, str | int]
Marks = tuple[Mark, ...]
"""For each tag, where its mark is kept and what it was. A write to a tag changes its mark; equal marks mean nothing was written."""


class StoreUnavailable(Exception):
    """The store cannot be asked. Reading goes on without it, so a caller of the cache never sees this."""


class Found(NamedTuple):
    """What a store knows of a key. ``marks`` is None while a write to one of its tags is under way: nothing may be kept then."""

    marks: Marks | None
    data: bytes | None


class Write(NamedTuple):
    """The tags that are closed for a write, with the marks they got. ``noted``: they are in the database alone, since then."""

    marks: Mapping[str, Mark]
    noted: datetime | None = None


class Store(ABC):
    """Shared by processes: those of a machine (``machine.py``), or of many (``redis.py``). Raises StoreUnavailable."""

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Whether what it says may be believed. If not, everything is read from the database."""

    @abstractmethod
    def holds(self, marks: Marks) -> bool | None:
        """Whether the marks are still current, where that is known at once; None where ``still_holds`` must ask."""

    @abstractmethod
    async def still_holds(self, marks: Marks) -> bool:
        """Whether the marks are still current, asked after this call began."""

    @abstractmethod
    async def look(self, key: str, tags: Sequence[str]) -> Found:
        """What is kept under the key, and the tags' marks of this moment."""

    @abstractmethod
    async def lease(self, key: str, tags: Sequence[str]) -> tuple[bool, Found]:
        """Take the right to read the key's value for everyone, for LEASE_SECONDS, and look.

        False while another process has it. What is found has been kept before it was taken.
        """

    @abstractmethod
    async def keep(self, key: str, data: bytes, ttl_seconds: float) -> None:
        """Keep a value, and give the key's lease back."""

    @abstractmethod
    async def release(self, key: str) -> None:
        """Give the key's lease back without a value."""

    @abstractmethod
    async def begin_write(self, tx: Transaction, tags: Sequence[str]) -> Write:
        """Before a commit: no value of these tags holds any more, and none is kept until ``end_write``.

        If this process ends first, the tags open again by themselves when the transaction can no longer be under way.
        """

    @abstractmethod
    async def end_write(self, write: Write) -> bool:
        """After it. Whether no other write to these tags was under way meanwhile: then the write's own marks are current."""

    @abstractmethod
    async def forget(self, tags: Sequence[str] | None) -> None:
        """Nothing kept so far of these tags holds any more; None: nothing at all."""
