"""What every way to tell workers of work promises, which is little: the table is the truth, and workers look there anyway."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

log = structlog.get_logger("restwell.jobs")

AT_ONCE: Final = 8
"""So many hints about a queue go out together: each wakes a worker, which takes what it can, and wakes another if that was not all."""
CLOSE_SECONDS: Final = 1.0
"""How long what has been announced may take to be sent at the end."""
KEPT: Final = 10_000
"""So many hints a broker keeps for a queue; with so much to do, nobody waits for one."""


class Notifier(ABC):
    """Hints that jobs are ready. A hint may be lost, come twice or come for nothing."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def notify(self, counts: Mapping[str, int]) -> None:
        """Tell of so many jobs, by queue, that are ready and committed. Returns at once."""

    def notify_another(self, queue: str) -> None:  # noqa: B027  # nothing to do where a hint wakes all workers
        """Wake one more: who was woken for this queue has filled all its slots from it, and there may be more."""

    @abstractmethod
    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:
        """Return when there may be work for ``free`` slots in one of the queues, and after ``seconds`` in any case."""


class BrokerStatus:
    """Whether a broker is there; says once that it is gone, and once that it is back, over all connections to it."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self.is_lost = False

    def lost(self, error: BaseException) -> None:
        if not self.is_lost:
            log.warning("jobs_broker_down", broker=self._broker, cause=repr(error))
        self.is_lost = True

    def found(self) -> None:
        if self.is_lost:
            log.warning("jobs_broker_up", broker=self._broker)
        self.is_lost = False


class Sender(Notifier):
    """Sends hints in the background, one message at a time: what is announced meanwhile goes out together with the next."""

    def __init__(self) -> None:
        self._announced: Counter[str] = Counter()
        self._sending: asyncio.Task[None] | None = None

    async def close(self) -> None:
        sending = self._sending
        if sending is not None:
            await asyncio.wait({sending}, timeout=CLOSE_SECONDS)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    def notify(self, counts: Mapping[str, int]) -> None:
        self._announced.update(counts)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._announced:
                counts = {queue: min(count, AT_ONCE) for queue, count in self._announced.items()}
                self._announced.clear()
                await self._send(counts)
        finally:
            self._sending = None

    @abstractmethod
    async def _send(self, counts: Mapping[str, int]) -> None:
        """Send so many hints about each queue. What cannot be sent is lost, and that is logged."""
