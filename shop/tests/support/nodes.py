"""Servers that are restarted during a test."""

import os
import signal
import time
from pathlib import Path
from uuid import uuid4

from processes import RUN, assert_nothing_left, children_of
from servers import RESTWELL, SETTINGS, Served, free_port, started, wait_until


class Node:
    """A server on its own port. It can be stopped and started again, also with another environment."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._run = str(uuid4())
        own = {name: value.replace("{folder}", str(folder)) for name, value in SETTINGS.items()}
        self.environment = {**os.environ, **own, **environment, "PORT": str(self.port), RUN: self._run}

    def start(self) -> None:
        log = self._folder / f"server-{self.port}.log"
        with log.open("ab") as output:
            process = started((RESTWELL, "serve"), self._folder, self.environment, output.fileno())
        self.served = Served(process, f"http://127.0.0.1:{self.port}", log)
        wait_until(self.served.is_ready, process, self.served)

    def stop(self) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        self.served.process.send_signal(signal.SIGTERM)
        assert self.served.process.wait(60) == 0, self.served.output
        return time.monotonic() - began

    def reload(self) -> None:
        """Replace all workers."""
        before = set(children_of(self.served.process.pid))
        self.served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not before & set(children_of(self.served.process.pid)), self.served.process, self.served)

    def close(self) -> None:
        self.served.process.kill()
        self.served.process.wait()
        assert_nothing_left(self._run, self.served.process.pid)
