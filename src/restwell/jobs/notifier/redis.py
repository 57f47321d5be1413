"""Redis: a stream for each queue, read by all workers as one group, so that a hint wakes one of them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from restwell.ids import new_id
from restwell.jobs.notifier.base import KEPT, BrokerStatus, Sender
from restwell.redis import connect

GROUP: Final = "workers"
ANSWER_SECONDS: Final = 3.0
"""The longest wait for an answer, beyond what was asked to be waited."""

_FAULTS: Final = (RedisError, RedisClusterException, OSError, TimeoutError)


def needed_commands(key: str) -> list[tuple[Any, ...]]:
    """Every command that it runs, on a stream of its own."""
    return [
        ("DEL", key),
        ("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM"),
        ("XADD", key, "MAXLEN", "~", KEPT, "*", "ready", ""),
        ("XREADGROUP", "GROUP", GROUP, "probe", "COUNT", 1, "NOACK", "STREAMS", key, ">"),
        ("DEL", key),
    ]


class RedisNotifier(Sender):
    """Hints are not acknowledged (NOACK): one that is lost with its reader costs a second, as the worker's own look finds the job.

    Of a cluster, all streams of an application lie on one node, because they are read together.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._client = connect(url, answer_seconds=ANSWER_SECONDS)
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
        except _FAULTS as error:
            self.broker.lost(error)
            await asyncio.sleep(deadline - time.monotonic())

    async def _read(self, streams: dict[str, str], count: int, seconds: float) -> None:
        milliseconds = max(1, round(seconds * 1_000))
        client = cast("Any", self._client)
        await client.xreadgroup(GROUP, self._reader, streams, count=count, block=milliseconds, noack=True)
        self.broker.found()

    async def _make_groups(self, streams: Mapping[str, str]) -> None:
        for stream in streams:
            try:
                await self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            except _FAULTS as error:
                self.broker.lost(error)
                return

    async def _send(self, counts: Mapping[str, int]) -> None:
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for queue, count in counts.items():
                    for _ in range(count):
                        pipe.xadd(f"{self._prefix}{queue}", {"ready": ""}, maxlen=KEPT, approximate=True)
                await pipe.execute()
        except _FAULTS as error:
            self.broker.lost(error)
        else:
            self.broker.found()
