"""The HTTP server: Granian runs the worker processes and replaces those that exit."""

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

from restwell import _heartbeats as heartbeats
from restwell._application import App
from restwell._child_processes import STOP_SECONDS, block_sigterm_during_fork, exit_with_parent, kill_children
from restwell._folders import checked_writes
from restwell._project import create_app
from restwell.errors import ConfigurationError
from restwell.observability._metrics_folder import MetricsFolder
from restwell.settings import MetricsSettings, Settings

log = structlog.get_logger("restwell.server")

HUNG_SECONDS: Final = 30.0
"""A worker without a heartbeat for this time is killed and replaced. It would keep its share of the connections."""
HEADER_TIMEOUT_MS: Final = 10_000
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


def create_worker_app(writer: Connection) -> App:
    """Create the application in a worker process, from its environment. It sends heartbeats to ``writer``."""
    exit_with_parent()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal sends it to all processes; the main process handles it
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    app = create_app()
    app.on_startup.append(partial(heartbeats.send_heartbeats, writer))
    # Objects created so far are permanent: exclude them from garbage collection (docs/decisions/0006).
    gc.collect()
    gc.freeze()
    return app


def serve(settings: Settings, *, replace_hung: bool = True) -> None:
    """Serve until SIGTERM or SIGINT. With ``replace_hung`` false a worker may stop in a debugger."""
    block_sigterm_during_fork()
    log.info("serving", address=f"http://{settings.host}:{settings.port}", workers=settings.workers)
    with shared_metrics_dir(settings):
        server = _Server(
            "restwell._server:create_worker_app",
            hung_seconds=HUNG_SECONDS if replace_hung else math.inf,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=MAX_HEADER_BYTES),
            websockets=True,  # refused unless the application has a host for them
            workers=settings.workers,
            backlog=BACKLOG,
            backpressure=MAX_CONNECTIONS,
            respawn_failed_workers=True,
            respawn_interval=0.5,
            workers_kill_timeout=STOP_SECONDS,
            log_access=False,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
        )
        server.serve(target_loader=partial(create_worker_app, server.heartbeats.writer), wrap_loader=False)


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
    before it has started stops the server.
    """

    def __init__(self, *arguments: Any, hung_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._signals: set[int] = set()
        self._hung_seconds = hung_seconds
        self.heartbeats = heartbeats.HeartbeatMonitor()
        self.on_startup(threading.Thread(target=self._kill_hung, name="heartbeats", daemon=True).start)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Handle SIGTERM and SIGINT.

        The second signal of the same kind kills the workers: Ctrl-C may send one of each.
        """
        number = args[0]
        if number in self._signals:
            kill_children()
        self._signals.add(number)
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # untyped in Granian

    def _respawn_workers(self, workers: list[int], *arguments: Any, **options: Any) -> None:
        had_started = all(self.heartbeats.has_started(self.wrks[idx].inner.pid) for idx in workers)
        super()._respawn_workers(workers, *arguments, **options)
        if had_started:
            self.respawned_wrks.clear()

    def _kill_hung(self) -> None:
        """Kill hung workers, also during shutdown, so that they do not delay it."""
        while True:
            time.sleep(heartbeats.BEAT_SECONDS)
            workers = {worker.inner.pid: worker.inner for worker in list(self.wrks)}
            overdue = self.heartbeats.overdue(workers, self._hung_seconds, time.monotonic())
            hung = [pid for pid in overdue if workers[pid].is_alive()]
            for pid in hung[:1]:  # one per check: Granian may miss one of two simultaneous exits
                log.error("worker_hung", pid=pid, seconds=round(overdue[pid], 1))
                workers[pid].kill()


def check_address_available(host: str, port: int) -> None:
    """Raises ConfigurationError if the port is in use. SO_REUSEPORT would share it with another server."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                [f"cannot listen on {host}:{port} ({error.strerror}); choose another with PORT="]
            ) from error
