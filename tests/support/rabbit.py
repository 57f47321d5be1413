"""A temporary RabbitMQ server, on free ports of the loopback interface."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import READY_SECONDS
from servers import free_port, listens, wait_until


def rabbit_program() -> str | None:
    """The start script that keeps the current user; the one on the PATH switches to another."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return str(debian) if debian.exists() else shutil.which("rabbitmq-server")


class RabbitServer:
    """A temporary RabbitMQ server with Erlang's port mapper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._mapper_port, self._distribution_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        program = rabbit_program()
        assert program is not None, "RabbitMQ is not installed"
        environment = {
            **os.environ,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "HOME": str(self.folder),  # for the Erlang cookie
            "RABBITMQ_NODENAME": f"rabbit{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": str(self.folder / "log"),
            "ERL_CRASH_DUMP": str(self.folder / "crash"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
        }
        self._mapper = subprocess.Popen(
            ["epmd", "-port", str(self._mapper_port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: listens(self._mapper_port), self._mapper)
        self._server = subprocess.Popen(
            [program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_until(lambda: _speaks_amqp(self.port), self._server)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """SIGKILL ends it immediately; confirmed messages survive the restart."""
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, how)
        self._server.wait(READY_SECONDS)
        self._mapper.terminate()
        self._mapper.wait(READY_SECONDS)


@contextmanager
def rabbit_server() -> Iterator[RabbitServer]:
    """A running RabbitMQ server; it takes about ten seconds to start."""
    with tempfile.TemporaryDirectory(prefix="restwell-rabbitmq-", ignore_cleanup_errors=True) as folder:
        server = RabbitServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _speaks_amqp(port: int) -> bool:
    """Whether it answers the protocol header (AMQP 0-9-1, 4.2.2) with a method frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as probe:
            probe.settimeout(2)
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return probe.recv(1) == b"\x01"
    except OSError:
        return False
