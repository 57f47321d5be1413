"""Notifications through RabbitMQ: a quorum queue for each job queue, published with confirms."""

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

from restwell.jobs._notifier.base import MAX_QUEUE_LENGTH, BackgroundNotifier, BrokerStatus

CONNECT_SECONDS: Final = 3.0
CONFIRM_SECONDS: Final = 3.0
RECONNECT_SECONDS: Final = 1.0

_ARGUMENTS: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    "x-max-length": MAX_QUEUE_LENGTH,
    "x-overflow": "drop-head",
}
_CONNECTION_ERRORS: Final = (
    AMQPError,
    aio_pika.exceptions.AMQPException,
    aio_pika.exceptions.ChannelInvalidStateError,
    OSError,
    TimeoutError,
)


async def connect(url: str, seconds: float) -> AbstractConnection:
    """Open a connection. Raises OSError, AMQPError or TimeoutError, after closing the failed connection.

    Otherwise the garbage collector would close it, possibly without a running event loop.
    """
    connection = aio_pika.Connection(make_url(url))
    try:
        await connection.connect(timeout=seconds)
    except BaseException:
        await connection.close()
        raise
    return connection


class AmqpNotifier(BackgroundNotifier):
    """Uses one connection to publish and one to consume, and reconnects each when it is lost.

    A prefetch of 1 lets a worker hold at most one notification for which it has no free slot. Other workers get the
    rest.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._name = name
        self.broker = BrokerStatus("rabbitmq")
        self._publisher = _Connection(url, self.broker)
        self._consumer = _Connection(url, self.broker)
        self._consumer_channel: AbstractChannel | None = None
        self._tags: dict[str, str] = {}
        self._messages: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def close(self) -> None:
        await super().close()
        await self._publisher.close()
        await self._consumer.close()

    def notify_another(self, queue: str) -> None:
        self.notify({queue: 1})

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:  # noqa: ARG002  # prefetch is 1
        deadline = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds):
                await self._consume(queues)
                message = await self._messages.get()
                await message.ack()
        except TimeoutError:
            if self._consumer_channel is not None and self._consumer_channel.is_closed:
                self._consumer.mark_down(ConnectionError("the connection was closed"))
        except _CONNECTION_ERRORS as error:
            self._consumer.mark_down(error)
            await asyncio.sleep(min(RECONNECT_SECONDS, deadline - time.monotonic()))

    async def _consume(self, queues: Sequence[str]) -> None:
        channel = await self._consumer.channel()
        if channel is not self._consumer_channel:
            self._messages = asyncio.Queue()
            await channel.set_qos(prefetch_count=1)
            self._consumer_channel = channel
        # RabbitMQ cancels the consumers of a deleted queue, and keeps the channel open.
        consumers = cast("Channel", await channel.get_underlay_channel()).consumers
        for queue in queues:
            if self._tags.get(queue) not in consumers:
                declared = await self._declare(channel, queue)
                self._tags[queue] = await declared.consume(self._messages.put)

    async def _send(self, counts: Mapping[str, int]) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS + CONFIRM_SECONDS):
                channel = await self._publisher.channel()
                for queue, count in counts.items():
                    declared = await self._publisher.once(queue, lambda queue=queue: self._declare(channel, queue))
                    message = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                    await asyncio.gather(
                        *(channel.default_exchange.publish(message, declared.name) for _ in range(count))
                    )
        except _CONNECTION_ERRORS as error:
            self._publisher.mark_down(error)

    async def _declare(self, channel: AbstractChannel, queue: str) -> AbstractQueue:
        return await channel.declare_queue(f"{self._name}.jobs.{queue}", durable=True, arguments=_ARGUMENTS)


class _RetryTooSoon(ConnectionError):
    """The last attempt failed less than RECONNECT_SECONDS ago, so no connection was tried."""


class _Connection:
    """A connection with one channel, opened on demand, at most once per RECONNECT_SECONDS."""

    def __init__(self, url: str, broker: BrokerStatus) -> None:
        self._url = url
        self._broker = broker
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._once: dict[str, Any] = {}
        self._retry_at = 0.0

    async def channel(self) -> AbstractChannel:
        """The open channel.

        Raises OSError, AMQPError or TimeoutError if RabbitMQ is unreachable, _RetryTooSoon if it was not tried.
        """
        if self._channel is None or self._channel.is_closed:
            if time.monotonic() < self._retry_at:
                raise _RetryTooSoon
            self._retry_at = time.monotonic() + RECONNECT_SECONDS
            await self.close()
            self._connection = await connect(self._url, CONNECT_SECONDS)
            self._channel = await self._connection.channel(publisher_confirms=True)
            self._broker.mark_up()
        return self._channel

    async def once(self, name: str, make: Any) -> Any:
        """The result of ``make``, which is called once for each name on this channel."""
        if name not in self._once:
            self._once[name] = await make()
        return self._once[name]

    def mark_down(self, error: BaseException) -> None:
        if not isinstance(error, _RetryTooSoon):
            self._broker.mark_down(error)
        self._channel = None

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._once = {}
        if connection is not None:
            with suppress(*_CONNECTION_ERRORS):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.close()
