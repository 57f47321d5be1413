"""Notifications through Redis: a stream for each queue.

All workers read it as one consumer group, so each message wakes one worker.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from redis.exceptions import ResponseError

from restwell._redis import REDIS_ERRORS, connect
from restwell.ids import new_id
from restwell.jobs._notifier.base import MAX_QUEUE_LENGTH, BackgroundNotifier, BrokerStatus

GROUP: Final = "workers"
ANSWER_SECONDS: Final = 3.0
"""The timeout of a reply, in addition to the blocking time of the command."""


def required_commands(key: str) -> list[tuple[Any, ...]]:
    """All commands that RedisNotifier uses, on the stream ``key``, to check permissions at startup."""
    return [
        ("DEL", key),
        ("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM"),
        ("XADD", key, "MAXLEN", "~", MAX_QUEUE_LENGTH, "*", "ready", ""),
        ("XREADGROUP", "GROUP", GROUP, "probe", "COUNT", 1, "NOACK", "STREAMS", key, ">"),
        ("DEL", key),
    ]


class RedisNotifier(BackgroundNotifier):
    """Messages are not acknowledged (NOACK). If a reader dies with one, a worker polls the table within a second.

    In a cluster, a hash tag places all streams of an application on one node, because one XREADGROUP reads them.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._client = connect(url, timeout_seconds=ANSWER_SECONDS)
        self._prefix = f"{{{name}.jobs}}:"
        self._reader = new_id().hex
        self.broker = BrokerStatus("redis")

    async def close(self) -> None:
        await super().close()
        await self._client.aclose()

    def notify_another(self, queue: str) -> None:
        self.notify({queue: 1})

    async def wait(self, queues: Sequence[str], free: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        streams = {f"{self._prefix}{queue}": ">" for queue in queues}
        try:
            await self._read(streams, free, seconds)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_groups(streams)
        except REDIS_ERRORS as error:
            self.broker.mark_down(error)
            await asyncio.sleep(deadline - time.monotonic())

    async def _read(self, streams: dict[str, str], count: int, seconds: float) -> None:
        milliseconds = max(1, round(seconds * 1_000))
        client = cast("Any", self._client)
        await client.xreadgroup(GROUP, self._reader, streams, count=count, block=milliseconds, noack=True)
        self.broker.mark_up()

    async def _make_groups(self, streams: Mapping[str, str]) -> None:
        for stream in streams:
            try:
                await self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            except REDIS_ERRORS as error:
                self.broker.mark_down(error)
                return

    async def _send(self, counts: Mapping[str, int]) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for queue, count in counts.items():
                    for _ in range(count):
                        pipe.xadd(f"{self._prefix}{queue}", {"ready": ""}, maxlen=MAX_QUEUE_LENGTH, approximate=True)
                await pipe.execute()
        except REDIS_ERRORS as error:
            self.broker.mark_down(error)
        else:
            self.broker.mark_up()
