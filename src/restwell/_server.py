"""The HTTP server: Granian runs the worker processes and replaces those that exit."""

import asyncio
import errno
import gc
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_byte
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import structlog
from granian import _signals
from granian._granian import WorkerSignal
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from restwell import _heartbeats as heartbeats
from restwell._application import App
from restwell._child_processes import STOP_SECONDS, block_sigterm_during_fork, exit_with_parent, kill_children
from restwell._folders import checked_writes
from restwell._project import create_app
from restwell._systemd import notify
from restwell.edge._drain import Drain
from restwell.errors import ConfigurationError
from restwell.observability._metrics_folder import MetricsFolder
from restwell.settings import MetricsSettings, Settings

log = structlog.get_logger("restwell.server")

HUNG_SECONDS: Final = 30.0
"""A worker without a heartbeat for this time is killed and replaced. It would keep its share of the connections."""
START_SECONDS: Final = 60.0
"""How long a worker with new code may take to start after SIGHUP before it is killed, and the old code stays."""
MAX_CONNECTIONS: Final = 16_384
"""The limit of open connections per worker, most of them idle. The edge limits concurrent requests."""
BACKLOG: Final = 4_096
SWITCH_INTERVAL_SECONDS: Final = 0.0001
"""The GIL switch interval. Python's default of 5 ms delays the I/O thread of the server (docs/performance.md)."""
LOGGING: Final = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
"""Sends Granian's logs to the root logger. Its own handler writes to standard output and blocks."""
MAX_HEADER_BYTES: Final = 65_536
"""The limit of the request line and the headers. Beyond it the server responds with a bare status.

The edge allows half of it (edge/_header_fields.py). The server also allows at most 100 headers.
"""


class WorkerChannel(NamedTuple):
    """What a worker process gets from its main process: the pipe for heartbeats, and whether the server stops."""

    heartbeats: Connection
    is_stopping: c_byte
    drain_seconds: float


def create_worker_app(channel: WorkerChannel) -> App:
    """Create the application in a worker process, from its environment."""
    exit_with_parent(channel.drain_seconds + STOP_SECONDS)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal sends it to all processes; the main process handles it
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    app = create_app()
    app.kit.drain.is_stopping = lambda: bool(channel.is_stopping.value)
    _signals.set_loop_signals = partial(stop_on_signals, app.kit.drain, channel.drain_seconds)
    app.on_startup.append(partial(heartbeats.send_heartbeats, channel.heartbeats))
    # Objects created so far are permanent: exclude them from garbage collection (docs/decisions/0006).
    gc.collect()
    gc.freeze()
    return app


def stop_on_signals(drain: Drain, seconds: float, loop: asyncio.AbstractEventLoop) -> WorkerSignal:
    """On SIGTERM or SIGINT close the connections of this process, request by request, and stop after ``seconds``.

    Event streams end at once: their clients connect again, to another server. Returns Granian's signal to stop: the
    process then accepts no connection any more, closes idle ones and finishes the requests in progress.

    It takes the place of Granian's own function. Granian runs the event loop once for the start of the application and
    once to serve, and uvloop does not call its handlers for a signal that arrives in between, so these are Python's.
    Granian's signal must not be set twice: the second time may block for ever, with the GIL.
    """
    stop = WorkerSignal()

    def begin() -> None:
        if not drain.is_draining:
            drain.begin()
            loop.call_later(seconds, stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(begin))
    return stop


def serve(settings: Settings, *, in_development: bool = False) -> None:
    """Serve until SIGTERM or SIGINT. In development a worker may stop in a debugger, and the server stops quickly."""
    block_sigterm_during_fork()
    drain_seconds = 0.0 if in_development else settings.drain_seconds
    log.info("serving", address=f"http://{settings.host}:{settings.port}", workers=settings.workers)
    with shared_metrics_dir(settings):
        server = _Server(
            "restwell._server:create_worker_app",
            hung_seconds=math.inf if in_development else HUNG_SECONDS,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=settings.keepalive_seconds * 1_000, max_buffer_size=MAX_HEADER_BYTES
            ),
            websockets=True,  # refused unless the application has a host for them
            workers=settings.workers,
            backlog=BACKLOG,
            backpressure=MAX_CONNECTIONS,
            respawn_failed_workers=True,
            respawn_interval=0.5,
            workers_kill_timeout=math.ceil(drain_seconds) + STOP_SECONDS,
            log_access=False,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
        )
        channel = WorkerChannel(server.heartbeats.writer, server.is_stopping, drain_seconds)
        server.serve(target_loader=partial(create_worker_app, channel), wrap_loader=False)


@contextmanager
def shared_metrics_dir(settings: Settings) -> Iterator[Settings]:
    """The settings with a metrics folder, the configured one or a temporary one.

    Sets METRICS_DIR for child processes. Raises ConfigurationError if the folder is not writable.
    """
    with ExitStack() as stack:
        folder = settings.metrics.dir
        with checked_writes(folder or Path("the temporary folder"), "METRICS_DIR"):
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="restwell-metrics-")))
            MetricsFolder.check(folder)
        os.environ["METRICS_DIR"] = str(folder)
        yield settings.model_copy(update={"metrics": MetricsSettings(dir=folder)})


class _Server(MPServer):
    """Granian that replaces crashed and hung workers without a limit, and exits immediately on a second signal.

    Granian's default is to exit when a replaced worker crashes again within seconds. Here only a worker that crashes
    before it has started stops the server. On SIGHUP each worker is replaced by one that has loaded the code again, and
    stops after that one has started.

    It overrides private methods of Granian, so its version is limited (pyproject.toml, tests/test_server_reload.py).
    """

    def __init__(self, *arguments: Any, hung_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._signals: set[int] = set()
        self._hung_seconds = hung_seconds
        self._starting: list[Any] = []
        self.heartbeats = heartbeats.HeartbeatMonitor()
        self.is_stopping = multiprocessing.RawValue(c_byte, 0)
        self.on_startup(threading.Thread(target=self._kill_hung, name="heartbeats", daemon=True).start)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Handle SIGTERM and SIGINT: all workers drain from now on.

        The second signal of the same kind kills the workers: Ctrl-C may send one of each.
        """
        number = args[0]
        self.is_stopping.value = 1
        notify("STOPPING=1")
        workers: list[Any] = self.wrks
        for worker in workers:
            if worker.inner.pid is not None:  # none during the fork of a replacement, which ends with the main loop
                worker.terminate()
        if number in self._signals:
            kill_children()
        self._signals.add(number)
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # untyped in Granian

    def shutdown(self, exit_code: int = 0) -> None:
        """End with 0 after a signal, even if a worker was killed in the same moment: it is not replaced any more."""
        if self.interrupt_signal:
            self.interrupt_children.clear()
        super().shutdown(exit_code)  # type: ignore[no-untyped-call]  # untyped in Granian

    def _respawn_workers(self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        """Replace crashed workers, or all of them after SIGHUP.

        Workers are forked from this process, which has imported the application. After SIGHUP they are spawned: a new
        interpreter imports the code that is installed now. If that does not start, the workers stay as they are.
        """
        method = multiprocessing.get_start_method()
        for idx in workers:
            old: Any = self.wrks[idx]
            new: Any
            if not old.is_alive():
                if not self.heartbeats.has_started(old.inner.pid):  # asked before the other thread forgets it
                    self.respawned_wrks[idx] = time.monotonic()
                new = self.wrks[idx] = self._spawn_worker(idx, spawn_target, target_loader)
                new.start()
                continue
            multiprocessing.set_start_method("spawn", force=True)
            new = self._spawn_worker(idx, spawn_target, target_loader)
            if not self._starts(new):
                multiprocessing.set_start_method(method, force=True)
                if not self.interrupt_signal:
                    log.error("reload_failed", hint="the code of before SIGHUP still serves; the error is above")
                break
            method = "spawn"
            time.sleep(delay)  # a worker listens right after its first heartbeat
            self.wrks[idx] = new
            self._starting.clear()
            new.interrupt_by_parent = False
            if not new.is_alive():
                self.interrupt_children.append(idx)
            old.terminate()
            threading.Thread(target=self._kill_late, args=(old,), daemon=True).start()
        if self.interrupt_signal or self.interrupt_children:  # Granian may have cleared the event after a signal
            self.main_loop_interrupt.set()

    def _starts(self, worker: Any) -> bool:
        """Start a worker with new code, and wait until it has started. Otherwise kill it."""
        worker.interrupt_by_parent = True  # its exit is no crash to recover from
        worker.start()
        self._starting.append(worker)
        deadline = time.monotonic() + START_SECONDS
        while not self.heartbeats.has_started(worker.inner.pid):
            if wait([worker.inner.sentinel], 0.05) or self.interrupt_signal or time.monotonic() > deadline:
                worker.kill()
                self._starting.clear()
                return False
        return True

    def _kill_late(self, worker: Any) -> None:
        if not wait([worker.inner.sentinel], self.workers_kill_timeout):
            log.error("worker_killed", pid=worker.inner.pid, hint="it had not finished its requests in time")
            worker.kill()

    def _kill_hung(self) -> None:
        """Kill hung workers, also during shutdown, so that they do not delay it. Tell systemd when all have started."""
        is_ready = False
        while True:
            time.sleep(heartbeats.BEAT_SECONDS)
            if not is_ready and all(self.heartbeats.has_started(worker.inner.pid) for worker in self.wrks):
                is_ready = True
                notify("READY=1")
            workers = {worker.inner.pid: worker.inner for worker in (*self.wrks, *self._starting)}
            overdue = self.heartbeats.overdue(workers, self._hung_seconds, time.monotonic())
            hung = [pid for pid in overdue if workers[pid].is_alive()]
            for pid in hung[:1]:  # one per check: Granian may miss one of two simultaneous exits
                log.error("worker_hung", pid=pid, seconds=round(overdue[pid], 1))
                workers[pid].kill()


def check_addresses(settings: Settings) -> None:
    """Raises ConfigurationError if a port of the settings is in use."""
    check_address_available(settings.host, settings.port)
    if settings.grpc.port is not None:
        check_address_available(settings.host, settings.grpc.port, "GRPC_PORT")


def check_address_available(host: str, port: int, setting: str = "PORT") -> None:
    """Raises ConfigurationError if the port is in use. SO_REUSEPORT would share it with another server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            is_wrong_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            hint = "set HOST to an address of this machine" if is_wrong_host else f"choose another with {setting}="
            raise ConfigurationError([f"cannot listen on {host}:{port} ({error.strerror}); {hint}"]) from error
