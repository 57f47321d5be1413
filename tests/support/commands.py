"""Starts ``restwell`` commands by a fork of a process that has imported everything (``command_server.py``).

The start of an interpreter with all imports takes most of a second, and a fork a few milliseconds.
"""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

NUMBER: Final = struct.Struct("i")
PRELOADED: Final[list[str]] = []  # modules that the server imports besides ``restwell``


class Process(Protocol):
    """What tests use of a process: of ``subprocess.Popen``, or of a command that was forked."""

    pid: int

    @property
    def returncode(self) -> int | Any: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A command that was forked. Its process leads a session, in which are all that it starts."""

    def __init__(self, report: int) -> None:
        self._report = report
        self.returncode: int | None = None
        self.pid = self._read()

    def poll(self) -> int | None:
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("restwell", timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and the report is on its way
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], seconds)[0]:
            self.returncode = self._read()
            os.close(self._report)
        return self.returncode

    def _read(self) -> int:
        number: int = NUMBER.unpack(os.read(self._report, NUMBER.size))[0]
        return number


class CommandServer:
    """Forks commands from one process of an interpreter."""

    def __init__(self, python: str | Path, *preloaded: str, environment: Mapping[str, str] | None = None) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = (python, Path(__file__).with_name("command_server.py"), *preloaded)
        with theirs:
            self._process = subprocess.Popen(program, env=environment, stdin=theirs.fileno())

    def fork(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        outputs: tuple[int, int, int],
        *,
        full: bool = False,
        module: str = "restwell.__main__",
    ) -> Forked:
        """Start ``main`` of the module with exactly this environment, and these standard streams.

        With ``full``, every file write fails, as on a full disk.
        """
        case = {"arguments": arguments, "folder": str(folder), "environment": environment, "full": full}
        case["module"] = module
        case["nohup"] = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        read, write = os.pipe()
        socket.send_fds(self._requests, [json.dumps(case).encode()], [write, *outputs])
        os.close(write)
        return Forked(read)

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        stdin: str = "",
        full: bool = False,
        module: str = "restwell.__main__",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and return its exit code and output."""
        (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = os.pipe(), os.pipe(), os.pipe()
        command = self.fork(
            arguments, folder, environment, (theirs_in, theirs_out, theirs_err), full=full, module=module
        )
        for descriptor in (theirs_in, theirs_out, theirs_err):
            os.close(descriptor)
        os.write(ours_in, stdin.encode())
        os.close(ours_in)
        stdout, stderr = _read_all(ours_out, ours_err)
        return subprocess.CompletedProcess(arguments, command.wait(), stdout, stderr)

    def close(self) -> None:
        """End the server. Commands that still run are not ended."""
        self._requests.close()
        self._process.wait()


@cache
def shared() -> CommandServer:
    """The server of this test process."""
    return CommandServer(sys.executable, *PRELOADED)


def end() -> None:
    if shared.cache_info().currsize:
        shared().close()


def _read_all(*readers: int) -> list[str]:
    """The output of each reader, until all are closed."""
    texts = dict.fromkeys(readers, b"")
    left = set(readers)
    while left:
        for reader in select.select(left, [], [])[0]:
            if piece := os.read(reader, 65_536):
                texts[reader] += piece
            else:
                os.close(reader)
                left.remove(reader)
    return [text.decode() for text in texts.values()]
