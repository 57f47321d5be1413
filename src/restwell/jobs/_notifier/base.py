"""The notifier interface. Notifications are best effort: workers also poll the table, which is the source of truth."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from restwell._batcher import Batcher

log = structlog.get_logger("restwell.jobs")

MAX_NOTIFICATIONS: Final = 8
"""The most notifications of a queue in one message.

Each wakes a worker, which claims jobs and wakes another if its slots are full.
"""
CLOSE_SECONDS: Final = 1.0
"""How long ``close`` waits for pending notifications."""
MAX_QUEUE_LENGTH: Final = 10_000
"""The most notifications that a broker stores for a queue.

With such a backlog, workers do not wait for notifications.
"""


class Notifier(ABC):
    """Notifies workers of ready jobs. A notification may be lost, duplicated or spurious."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def notify(self, counts: Mapping[str, int]) -> None:
        """Notify of committed, ready jobs; ``counts`` has their number by queue. Returns immediately."""

    def notify_another(self, queue: str) -> None:  # noqa: B027  # not needed if a notification wakes all workers
        """Wake another worker. Called by a woken worker whose slots are full, because more jobs may be ready."""

    @abstractmethod
    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:
        """Wait for a notification of one of ``queues``, at most ``seconds``. ``free`` is the number of free slots."""


class BrokerStatus:
    """Whether a broker is reachable, over all connections to it. Logs each change once."""

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self.is_down = False

    def mark_down(self, error: BaseException) -> None:
        if not self.is_down:
            log.warning("jobs_broker_down", broker=self._broker, cause=repr(error))
        self.is_down = True

    def mark_up(self) -> None:
        if self.is_down:
            log.warning("jobs_broker_up", broker=self._broker)
        self.is_down = False


class BackgroundNotifier(Notifier):
    """Sends notifications in the background, one message at a time.

    Notifications during a send are combined in the next message.
    """

    def __init__(self) -> None:
        self._pending: Counter[str] = Counter()
        self._sender: Batcher[None, None] = Batcher(self._send_pending)

    async def close(self) -> None:
        await self._sender.close(CLOSE_SECONDS)

    def notify(self, counts: Mapping[str, int]) -> None:
        if not self._pending:
            self._sender.add(None)
        self._pending.update(counts)

    async def _send_pending(self, messages: list[None]) -> list[None]:
        counts = {queue: min(count, MAX_NOTIFICATIONS) for queue, count in self._pending.items()}
        self._pending.clear()
        await self._send(counts)
        return messages

    @abstractmethod
    async def _send(self, counts: Mapping[str, int]) -> None:
        """Send notifications, by queue. Logs an error; the notifications are then lost."""
