"""The cached values that a load reads. The value that it returns is current only while each of them is."""

import math
from contextvars import ContextVar
from typing import Final

from restwell.cache._store import Generation, Generations, Store


class Reads:
    """The reads of one load from the cache of ``store``, also those of the tasks that it starts.

    ``expires_at`` is when the first of the values expires, a Unix timestamp.
    """

    __slots__ = ("_generations", "_is_cacheable", "_store", "expires_at")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generations: dict[Generation, None] = {}
        self._is_cacheable = True
        self.expires_at = math.inf

    def add(self, store: Store, generations: Generations | None, expires_at: float) -> None:
        """Without ``generations``, or with those of another store, nothing would tell when the value is outdated."""
        if generations is None or store is not self._store:
            self._is_cacheable = False
            return
        self._generations.update(dict.fromkeys(generations))
        self.expires_at = min(self.expires_at, expires_at)

    def generations_with(self, own: Generations) -> Generations | None:
        """The generations of the loaded value: ``own``, those of its tags, and then those of the reads.

        None if the value must not be cached.
        """
        if not self._is_cacheable:
            return None
        return (*own, *(generation for generation in self._generations if generation not in own))


current_reads: Final[ContextVar[Reads | None]] = ContextVar("cache_reads", default=None)
"""Set in the task of a load."""


def note_read(store: Store, generations: Generations | None, expires_at: float = 0.0) -> None:
    """Note that the load of this task, if there is one, has read a value. None: the value is not cached."""
    reads = current_reads.get()
    if reads is not None:
        reads.add(store, generations, expires_at)
