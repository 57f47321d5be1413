"""Serving: Granian runs one process for each worker, replaces those that die and hands out connections."""

import gc
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from restwell import heartbeats
from restwell.app import App
from restwell.child_processes import STOP_SECONDS, block_sigterm_during_fork, exit_with_parent, kill_children
from restwell.errors import ConfigurationError
from restwell.observability.logs import configure_logs, log_fatal_errors
from restwell.observability.metrics_folder import MetricsFolder
from restwell.project import find_project
from restwell.settings import MetricsSettings, Settings

log = structlog.get_logger("restwell.server")

HUNG_SECONDS: Final = 30.0
"""A worker that has sent no heartbeat for so long is killed, and replaced. It would keep its share of the connections."""
HEADER_TIMEOUT_MS: Final = 10_000
CONNECTIONS: Final = 16_384
"""So many each worker keeps open, most of which are idle or slow. How many requests it works on at once is the edge's affair."""
BACKLOG: Final = 4_096
SWITCH_SECONDS: Final = 0.0001
"""The server's own thread hands over what has come in as soon as it may: by itself Python lets it wait for 5 ms (docs/performance.md)."""
LOGGERS: Final = {"formatters": {}, "handlers": {}, "loggers": {"_granian": {"propagate": True}}}
"""What Granian says goes where all lines go; by itself it writes to standard output, and waits for its reader."""
HEAD_BYTES: Final = 65_536
"""The request line and all headers, of which there may be a hundred; the edge allows half of it (edge/header_fields.py). What is more is
refused by the server itself, with nothing but a status.
"""


def create_worker_app(writer: Connection) -> App:
    """The application of one worker process: made in it, from the environment it was started with. It writes heartbeats."""
    exit_with_parent()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal sends it to all; the main process says what to do
    sys.setswitchinterval(SWITCH_SECONDS)
    project = find_project()
    settings = project.load_settings()
    configure_logs(settings.log)
    with log_fatal_errors():
        app = project.create_app(settings)
    app.litestar.on_startup.append(partial(heartbeats.beat, writer))
    # What is here now stays for good: the garbage collector need not look at it again and again (docs/decisions/0006).
    gc.collect()
    gc.freeze()
    return app


def serve(settings: Settings, *, replace_hung: bool = True) -> None:
    """Serve until told to stop (SIGTERM or SIGINT). A worker that hangs is replaced, unless it may hang in a debugger."""
    block_sigterm_during_fork()
    log.info("serving", address=f"http://{settings.host}:{settings.port}", workers=settings.workers)
    with shared_metrics_dir(settings):
        server = _Server(
            "restwell.server:create_worker_app",
            hung_seconds=HUNG_SECONDS if replace_hung else math.inf,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=HEAD_BYTES),
            websockets=False,
            workers=settings.workers,
            backlog=BACKLOG,
            backpressure=CONNECTIONS,
            respawn_failed_workers=True,
            respawn_interval=0.5,
            workers_kill_timeout=STOP_SECONDS,
            log_access=False,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGERS,
        )
        server.serve(target_loader=partial(create_worker_app, server.heartbeats.writer), wrap_loader=False)


@contextmanager
def shared_metrics_dir(settings: Settings) -> Iterator[Settings]:
    """These settings with a folder for metrics: the one they name, or one for this run. Workers find it in METRICS_DIR.

    Raises ConfigurationError if nothing can be written there.
    """
    with ExitStack() as stack:
        folder = settings.metrics.dir
        try:
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="restwell-metrics-")))
            MetricsFolder.check(folder)
        except OSError as error:
            where = folder or "the folder for temporary files"
            fault = f"METRICS_DIR: {where} cannot be written ({error.strerror}); name a folder that can"
            raise ConfigurationError([fault]) from error
        os.environ["METRICS_DIR"] = str(folder)
        yield settings.model_copy(update={"metrics": MetricsSettings(dir=folder)})


class _Server(MPServer):
    """Granian that goes on however often its workers die, as long as they had started, replaces those that hang, and ends at once when
    it is told twice.

    By itself it ends, and with it every worker, when the one that it replaced last dies within seconds: twice the same bad
    request, or the kernel short of memory, and nobody is served any more. One that dies before it has started still ends it.
    """

    def __init__(self, *arguments: Any, hung_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told: set[int] = set()
        self._hung_seconds = hung_seconds
        self.heartbeats = heartbeats.Heartbeats()
        self.on_startup(threading.Thread(target=self._kill_hung, name="heartbeats", daemon=True).start)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """SIGTERM or SIGINT. A terminal's Ctrl-C may bring one of each, so only the same again is a second time."""
        number = args[0]
        if number in self._told:
            kill_children()
        self._told.add(number)
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # Granian types it not

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        had_started = all(self.heartbeats.has_begun(self.wrks[idx].inner.pid) for idx in workers)
        super()._respawn_workers(workers, *arguments, **options)
        if had_started:
            self.respawned_wrks.clear()

    def _kill_hung(self) -> None:
        """Until the end of this process, so that a hung worker does not delay it for longer than it must."""
        while True:
            time.sleep(heartbeats.BEAT_SECONDS)
            workers = {worker.inner.pid: worker.inner for worker in list(self.wrks)}
            silent = self.heartbeats.silent(workers, self._hung_seconds, time.monotonic())
            hung = [pid for pid in silent if workers[pid].is_alive()]
            for pid in hung[:1]:  # one each time: of two that die together, Granian may overlook one
                log.error("worker_hung", pid=pid, seconds=round(silent[pid], 1))
                workers[pid].kill()


def check_address_available(host: str, port: int) -> None:
    """Raise ConfigurationError if the port is in use: workers share theirs, and would share it with a stranger's too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                [f"cannot listen on {host}:{port} ({error.strerror}); choose another with PORT="]
            ) from error
