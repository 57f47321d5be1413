"""Leases are extended from a thread with an event loop and a connection of its own: a handler that blocks the worker's loses nothing."""

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog

from restwell.database import open_database
from restwell.errors import ServiceUnavailable
from restwell.jobs.store import LEASE_SECONDS, JobStore
from restwell.observability.log_output import output

log = structlog.get_logger("restwell.jobs")

BEAT_SECONDS: Final = 5.0
"""Between two extensions, and so the longest until a worker notices that a job of its own was cancelled."""

BLOCKED: Final = 70
"""The exit code of a worker whose event loop is blocked (EX_SOFTWARE of sysexits.h)."""


class Heartbeat:
    """While it is entered: extends the lease of all in ``running``, a job's id and fencing_token, and tells ``lost`` which are not ours any more.

    ``running`` is the worker's own mapping, and changes meanwhile; ``lost`` is called in the event loop that entered. With
    ``blocked_seconds``, a process whose event loop has not gone round for so long is ended, after it has said where it stands: a job
    that never returns would else hold all others of its worker for ever.
    """

    def __init__(
        self,
        url: str,
        running: dict[UUID, int],
        lost: Callable[[dict[UUID, int]], None],
        *,
        beat_seconds: float = BEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        blocked_seconds: float | None = None,
    ) -> None:
        self._url = url
        self._running = running
        self._lost = lost
        self._beat_seconds = beat_seconds
        self._lease_seconds = lease_seconds
        self._blocked_seconds = blocked_seconds
        self._turned_at = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._beat_until_stopped, args=(loop,), name="heartbeat", daemon=True)
        self._thread.start()

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _look_at(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask the loop for a sign of life; end the process when the last one is too old."""
        if self._blocked_seconds is not None and time.monotonic() - self._turned_at > self._blocked_seconds:
            log.error(
                "worker_blocked",
                seconds=self._blocked_seconds,
                running=[str(one) for one in self._running],
                stacks=_stacks(),
            )
            output.flush()
            os._exit(BLOCKED)
        loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _beat_until_stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._beat(loop))
            except ServiceUnavailable as error:
                log.warning("heartbeat_failed", cause=repr(error.__cause__ or error))
                self._stop.wait(1)

    async def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        async with open_database(self._url, 1) as database:
            store = JobStore(database, self._lease_seconds)
            while not await asyncio.to_thread(self._stop.wait, self._beat_seconds):
                self._look_at(loop)
                running = self._running.copy()
                if not running:
                    continue
                ours = await store.extend(running)
                lost = {job_id: fencing_token for job_id, fencing_token in running.items() if job_id not in ours}
                if lost:
                    loop.call_soon_threadsafe(self._lost, lost)


def _stacks() -> dict[str, str]:
    """Where each thread of this process stands."""
    frames = sys._current_frames()  # noqa: SLF001  # there is no other way to another thread's stack
    return {
        thread.name: "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    }
