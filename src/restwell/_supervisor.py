"""Starts worker processes, replaces those that exit, and drains them at shutdown."""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

import msgspec
import structlog
import uvloop

from restwell._application import App
from restwell._child_processes import block_sigterm_during_fork, exit_with_parent, kill_children
from restwell._project import create_app
from restwell._systemd import notify
from restwell.database import open_database
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.ids import new_id
from restwell.jobs import WorkerOptions
from restwell.jobs._bulk_changes import OPERATIONS_QUEUE
from restwell.jobs._rows import ClaimedJob
from restwell.jobs._store import JobStore
from restwell.observability._logs import log_fatal_errors

log = structlog.get_logger("restwell.supervisor")

RESPAWN_SECONDS: Final = 1.0
KILL_SECONDS: Final = 10.0
"""How long after ``drain_seconds`` a worker is killed."""
BLOCKED_SECONDS: Final = 60.0
"""How long a job may block the event loop before its worker exits. The next attempt then runs isolated."""

_FORK: Final = multiprocessing.get_context("fork")
"""With fork, all modules are imported already: a worker starts in milliseconds instead of a second."""


@dataclass
class _Slot:
    """One of the ``count`` workers. Its process is replaced when it exits."""

    options: WorkerOptions
    name: str = ""
    process: BaseProcess | None = None
    started_at: float = field(default=-RESPAWN_SECONDS)

    def start(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.started_at = time.monotonic()
        self.process = _FORK.Process(target=_worker_main, args=(self.options, self.name), name="worker")
        self.process.start()


def supervise(options: WorkerOptions, count: int, database_url: str) -> None:
    """Run ``count`` workers until SIGTERM, SIGINT or SIGHUP, then drain them. The same signal again kills them.

    The leases of a worker that dies expire immediately. Workers exit with this process, even if it is killed.
    """
    block_sigterm_during_fork()
    received: set[int] = set()

    def stop(number: int, _frame: FrameType | None) -> None:
        if number in received:
            kill_children()
        received.add(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):  # set by nohup
            signal.signal(number, stop)
    slots = [_Slot(options) for _ in range(count)]
    notify("READY=1")  # the command has checked the services, and signals are handled
    while not received:
        for slot in slots:
            if slot.process is None and time.monotonic() - slot.started_at >= RESPAWN_SECONDS:
                slot.start()
        wait([slot.process.sentinel for slot in slots if slot.process is not None], timeout=0.2)
        for slot in slots:
            if slot.process is not None and slot.process.exitcode is not None:
                _handle_exit(slot, slot.process.exitcode, database_url)
    notify("STOPPING=1")
    _stop([slot.process for slot in slots if slot.process is not None], options.drain_seconds)


def _handle_exit(slot: _Slot, exitcode: int, database_url: str) -> None:
    slot.process = None
    if exitcode == 0:
        return
    log.error("worker_died", worker=slot.name, exitcode=exitcode)
    with suppress(ServiceUnavailable):  # the leases expire after their normal time
        asyncio.run(_expire_leases(slot.name, database_url))


async def _expire_leases(name: str, url: str) -> None:
    async with open_database(url, 1) as database:
        await JobStore(database).expire_leases(name)


def _stop(processes: list[BaseProcess], drain_seconds: float) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + drain_seconds + KILL_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _worker_main(options: WorkerOptions, name: str) -> None:
    """The entry point of a worker process. Builds the application from the environment."""
    # A terminal sends these to the whole process group, and the supervisor handles them. The processes of jobs inherit
    # the ignored signals; otherwise they would exit.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    exit_with_parent()
    app = create_app()
    with log_fatal_errors():
        uvloop.run(_run_worker(app, options, name))


async def _run_worker(app: App, options: WorkerOptions, name: str) -> None:
    worker = app.worker(options, execute_isolated=_execute_isolated, name=name)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await app.kit.start()
    try:
        await worker.run()
    finally:
        await app.kit.close()


def _execute_isolated(claimed: ClaimedJob) -> None:
    """Run one job in this process, which runs nothing else: an earlier worker of the job died."""
    uvloop.run(_run_one(create_app(), msgspec.structs.replace(claimed, isolated=False)))


async def _run_one(app: App, claimed: ClaimedJob) -> None:
    await app.kit.start()
    try:
        await app.worker(WorkerOptions(queues=(claimed.queue,))).execute(claimed)
    finally:
        await app.kit.close()


def worker_options(app: App, queues: tuple[str, ...], **options: object) -> WorkerOptions:
    """The options from the settings and ``options``. Without ``queues``, all queues of the application's jobs.

    Every worker serves the queue of bulk changes.

    Raises ConfigurationError if one of the queues has no job.
    """
    known = tuple(dict.fromkeys(job.queue for job in app.kit.jobs.registered.values()))
    if unknown := [queue for queue in queues if queue not in known]:
        raise ConfigurationError([f"queue {name} has no jobs; the queues are {', '.join(known)}" for name in unknown])
    jobs = app.kit.settings.jobs
    return WorkerOptions(
        queues=tuple(dict.fromkeys((*queues, OPERATIONS_QUEUE))) if queues else known,
        done_retention_seconds=jobs.done_retention_seconds,
        dead_retention_seconds=jobs.dead_retention_seconds,
        blocked_seconds=BLOCKED_SECONDS,
        **options,  # type: ignore[arg-type]  # validated by the command line
    )
