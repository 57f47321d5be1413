"""Worker processes: started, replaced when they end, and told to drain when it is time to go."""

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

from restwell.app import App
from restwell.child_processes import block_sigterm_during_fork, exit_with_parent, kill_children
from restwell.database import open_database
from restwell.errors import ConfigurationError, ServiceUnavailable
from restwell.ids import new_id
from restwell.jobs import ClaimedJob, JobStore, WorkerOptions
from restwell.observability.logs import configure_logs, log_fatal_errors
from restwell.project import find_project

log = structlog.get_logger("restwell.supervisor")

RESPAWN_SECONDS: Final = 1.0
KILL_SECONDS: Final = 10.0
"""After the time to drain, how long a worker has left before it is killed."""
BLOCKED_SECONDS: Final = 60.0
"""How long a job may block a worker's event loop before the process is ended, and the job is run by itself next time."""

_FORK: Final = multiprocessing.get_context("fork")
"""All is imported then: a worker is there after a few milliseconds, in place of a second."""


@dataclass
class _Slot:
    """A worker process that is to be there."""

    options: WorkerOptions
    name: str = ""
    process: BaseProcess | None = None
    started_at: float = field(default=-RESPAWN_SECONDS)

    def start(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.started_at = time.monotonic()
        self.process = _FORK.Process(target=_work, args=(self.options, self.name), name="worker")
        self.process.start()


def supervise(options: WorkerOptions, count: int, database_url: str) -> None:
    """Keep so many workers at work until SIGTERM, SIGINT or SIGHUP, then until they have drained, or the same signal comes again.

    The jobs of one that is killed are free at once. A worker ends with this process, however it ends.
    """
    block_sigterm_during_fork()
    told: set[int] = set()

    def stop(number: int, _frame: FrameType | None) -> None:
        if number in told:
            kill_children()
        told.add(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):  # as nohup asks
            signal.signal(number, stop)
    slots = [_Slot(options) for _ in range(count)]
    while not told:
        for slot in slots:
            if slot.process is None and time.monotonic() - slot.started_at >= RESPAWN_SECONDS:
                slot.start()
        wait([slot.process.sentinel for slot in slots if slot.process is not None], timeout=0.2)
        for slot in slots:
            if slot.process is not None and slot.process.exitcode is not None:
                _ended(slot, slot.process.exitcode, database_url)
    _stop([slot.process for slot in slots if slot.process is not None], options.drain_seconds)


def _ended(slot: _Slot, exitcode: int, database_url: str) -> None:
    slot.process = None
    if exitcode == 0:
        return
    log.error("worker_died", worker=slot.name, exitcode=exitcode)
    with suppress(ServiceUnavailable):  # then its leases end by themselves
        asyncio.run(_end_leases(slot.name, database_url))


async def _end_leases(name: str, url: str) -> None:
    async with open_database(url, 1) as database:
        await JobStore(database).end_leases(name)


def _stop(processes: list[BaseProcess], drain_seconds: float) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + drain_seconds + KILL_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _work(options: WorkerOptions, name: str) -> None:
    """What a worker process does: the application is made in it, from the environment it was started with."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the supervisor says what to do
        signal.signal(number, signal.SIG_IGN)
    exit_with_parent()
    app = _create_app()
    with log_fatal_errors():
        uvloop.run(_serve(app, options, name))


async def _serve(app: App, options: WorkerOptions, name: str) -> None:
    worker = app.worker(options, execute_isolated=_execute_isolated, name=name)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await app.kit.start()
    try:
        await worker.run()
    finally:
        await app.kit.close()


def _execute_isolated(claimed: ClaimedJob) -> None:
    """Do one job in this process, of which nobody else depends: the worker that did it before died."""
    uvloop.run(_serve_one(_create_app(), msgspec.structs.replace(claimed, isolated=False)))


async def _serve_one(app: App, claimed: ClaimedJob) -> None:
    await app.kit.start()
    try:
        await app.worker(WorkerOptions(queues=(claimed.queue,))).do(claimed)
    finally:
        await app.kit.close()


def _create_app() -> App:
    project = find_project()
    settings = project.load_settings()
    configure_logs(settings.log)
    with log_fatal_errors():
        return project.create_app(settings)


def worker_options(app: App, queues: tuple[str, ...], **chosen: object) -> WorkerOptions:
    """Those of the settings, and ``chosen``; without ``queues``, all that the application has jobs for.

    Raises ConfigurationError where it has none, or none for one of the queues.
    """
    known = tuple(dict.fromkeys(job.queue for job in app.kit.jobs.registered.values()))
    if not known:
        raise ConfigurationError([f"{app.kit.name} has no jobs; name them in kit.app(jobs=[...])"])
    if unknown := [queue for queue in queues if queue not in known]:
        raise ConfigurationError(
            [f"no job is declared for queue {name}; there are {', '.join(known)}" for name in unknown]
        )
    jobs = app.kit.settings.jobs
    return WorkerOptions(
        queues=queues or known,
        done_retention_seconds=jobs.done_retention_seconds,
        dead_retention_seconds=jobs.dead_retention_seconds,
        blocked_seconds=BLOCKED_SECONDS,
        **chosen,  # type: ignore[arg-type]  # the command line's own
    )
