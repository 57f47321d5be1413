"""RabbitMQ: a quorum queue of hints for each queue of jobs, published with confirms."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.connection import make_url
from aiormq.channel import Channel
from aiormq.exceptions import AMQPError

from restwell.jobs.notifier.base import KEPT, BrokerStatus, Sender

CONNECT_SECONDS: Final = 3.0
CONFIRM_SECONDS: Final = 3.0
AGAIN_SECONDS: Final = 1.0

_ARGUMENTS: Final[dict[str, Any]] = {"x-queue-type": "quorum", "x-max-length": KEPT, "x-overflow": "drop-head"}
_FAULTS: Final = (
    AMQPError,
    aio_pika.exceptions.AMQPException,
    aio_pika.exceptions.ChannelInvalidStateError,
    OSError,
    TimeoutError,
)


async def connect(url: str, seconds: float) -> AbstractConnection:
    """A connection that is open. Raises OSError, AMQPError or TimeoutError, and leaves none behind: one that failed would be closed when
    it is collected, where no event loop may run any more.
    """
    connection = aio_pika.Connection(make_url(url))
    try:
        await connection.connect(timeout=seconds)
    except BaseException:
        await connection.close()
        raise
    return connection


class AmqpNotifier(Sender):
    """One connection to publish, one to consume, each made anew when it is gone.

    A worker holds one hint of a queue at most that it has no slot for (a prefetch of 1): the others go to those who have.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._name = name
        self.broker = BrokerStatus("rabbitmq")
        self._publishing = _Link(url, self.broker)
        self._consuming = _Link(url, self.broker)
        self._consumed: AbstractChannel | None = None
        self._tags: dict[str, str] = {}
        self._hints: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def close(self) -> None:
        await super().close()
        await self._publishing.close()
        await self._consuming.close()

    def notify_another(self, queue: str) -> None:
        self.notify({queue: 1})

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # one hint at a time
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._consume(queues)
                hint = await self._hints.get()
                await hint.ack()
        except TimeoutError:
            if self._consumed is not None and self._consumed.is_closed:
                self._consuming.lost(ConnectionError("the connection was closed"))
        except _FAULTS as error:
            self._consuming.lost(error)
            await asyncio.sleep(deadline - time.monotonic())

    async def _consume(self, queues: Sequence[str]) -> None:
        channel = await self._consuming.channel()
        if channel is not self._consumed:
            self._hints = asyncio.Queue()
            await channel.set_qos(prefetch_count=1)
            self._consumed = channel
        # RabbitMQ ends the consumers of a queue that is deleted, and keeps the channel.
        consumers = cast("Channel", await channel.get_underlay_channel()).consumers
        for queue in queues:
            if self._tags.get(queue) not in consumers:
                declared = await self._declare(channel, queue)
                self._tags[queue] = await declared.consume(self._hints.put)

    async def _send(self, counts: Mapping[str, int]) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS + CONFIRM_SECONDS):
                channel = await self._publishing.channel()
                for queue, count in counts.items():
                    declared = await self._publishing.once(queue, lambda queue=queue: self._declare(channel, queue))
                    hint = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                    await asyncio.gather(*(channel.default_exchange.publish(hint, declared.name) for _ in range(count)))
        except _FAULTS as error:
            self._publishing.lost(error)

    async def _declare(self, channel: AbstractChannel, queue: str) -> AbstractQueue:
        return await channel.declare_queue(f"{self._name}.jobs.{queue}", durable=True, arguments=_ARGUMENTS)


class _TooSoon(ConnectionError):
    """It was not there a moment ago, which says nothing of now."""


class _Link:
    """A connection with one channel, made when it is needed, and not tried again at once when that fails."""

    def __init__(self, url: str, broker: BrokerStatus) -> None:
        self._url = url
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._once: dict[str, Any] = {}
        self._again_at = 0.0

    async def channel(self) -> AbstractChannel:
        """Raises OSError, AMQPError or TimeoutError while RabbitMQ cannot be reached, _TooSoon where that was not tried."""
        if self._channel is None or self._channel.is_closed:
            if time.monotonic() < self._again_at:
                raise _TooSoon
            self._again_at = time.monotonic() + AGAIN_SECONDS
            await self.close()
            self._connection = await connect(self._url, CONNECT_SECONDS)
            self._channel = await self._connection.channel(publisher_confirms=True)
            self._broker.found()
        return self._channel

    async def once(self, name: str, make: Any) -> Any:
        """What ``make`` gives, made once for each name on this channel."""
        if name not in self._once:
            self._once[name] = await make()
        return self._once[name]

    def lost(self, error: BaseException) -> None:
        if not isinstance(error, _TooSoon):
            self._broker.lost(error)
        self._channel = None

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._once = {}
        if connection is not None:
            with suppress(*_FAULTS):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.close()
