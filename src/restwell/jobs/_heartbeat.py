"""Extends leases from a separate thread with its own event loop and connection.

A job that blocks the worker's event loop therefore does not lose its lease.
"""

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
from restwell.jobs._store import LEASE_SECONDS, JobStore
from restwell.observability._log_output import output

log = structlog.get_logger("restwell.jobs")

HEARTBEAT_SECONDS: Final = 5.0
"""The interval between extensions. A worker notices a cancelled job or a lost lease within this time."""

BLOCKED_EXIT_CODE: Final = 70
"""The exit code of a worker whose event loop is blocked (EX_SOFTWARE of sysexits.h)."""


class Heartbeat:
    """An async context manager that extends the leases of ``running``, a mapping of job ids to fencing tokens.

    The worker may change ``running`` at any time. ``on_lost`` is called in the worker's event loop with the jobs whose
    lease was lost. With ``blocked_seconds``, the process exits with BLOCKED_EXIT_CODE when its event loop has not
    responded for that time, and logs the stack of each thread. Otherwise a job that never returns would block all
    other jobs of the worker.
    """

    def __init__(
        self,
        url: str,
        running: dict[UUID, int],
        on_lost: Callable[[dict[UUID, int]], None],
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
        blocked_seconds: float | None = None,
    ) -> None:
        self._url = url
        self._running = running
        self._on_lost = on_lost
        self._heartbeat_seconds = heartbeat_seconds
        self._lease_seconds = lease_seconds
        self._blocked_seconds = blocked_seconds
        self._responded_at = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="heartbeat", daemon=True)
        self._thread.start()

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _check_event_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ping the event loop. Exit the process when the last response is too old."""
        if self._blocked_seconds is not None and time.monotonic() - self._responded_at > self._blocked_seconds:
            log.error(
                "worker_blocked",
                seconds=self._blocked_seconds,
                running=[str(one) for one in self._running],
                stacks=_stacks(),
            )
            output.flush()
            os._exit(BLOCKED_EXIT_CODE)
        loop.call_soon_threadsafe(self._event_loop_responded)

    def _event_loop_responded(self) -> None:
        self._responded_at = time.monotonic()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._extend_leases(loop))
            except ServiceUnavailable as error:
                log.warning("heartbeat_failed", cause=repr(error.__cause__ or error))
                self._stop.wait(1)

    async def _extend_leases(self, loop: asyncio.AbstractEventLoop) -> None:
        async with open_database(self._url, 1) as database:
            store = JobStore(database, self._lease_seconds)
            while not await asyncio.to_thread(self._stop.wait, self._heartbeat_seconds):
                self._check_event_loop(loop)
                running = self._running.copy()
                if not running:
                    continue
                extended = await store.extend(running)
                lost = {job_id: fencing_token for job_id, fencing_token in running.items() if job_id not in extended}
                if lost:
                    loop.call_soon_threadsafe(self._on_lost, lost)


def _stacks() -> dict[str, str]:
    """The stack of each thread, by name."""
    frames = sys._current_frames()  # noqa: SLF001  # no public API returns the stack of another thread
    return {
        thread.name: "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    }
