"""Real servers for tests: temporary, private to the run, on free ports of the loopback interface."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

import commands
from commands import Process
from processes import READY_SECONDS, RUN, assert_nothing_left

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
RESTWELL = Path(sys.executable).with_name("restwell")

TLS: Final = httpx.create_ssl_context()  # of clients of httpx: a new one takes 20 ms
NEEDS = "needs a server that is not on this machine"
"""The start of the reason of a skipped test."""

allowed = True
"""Whether the current test may start processes."""


def assert_allowed() -> None:
    assert allowed, "a unit test starts no process; mark it, or its module: pytest.mark.integration"


def _ports_of_this_process() -> Iterator[int]:
    """A thousand ports below the range of ephemeral ports, which no other test process of this machine has."""
    with socket.socket() as lock:  # as long as this process runs
        for block in range(20):
            with suppress(OSError):
                lock.bind(("127.0.0.1", 9_900 + block))
                yield from cycle(range(10_000 + 1_000 * block, 11_000 + 1_000 * block))
    raise AssertionError("more than 20 test processes run on this machine")


_ports = _ports_of_this_process()


def free_port() -> int:
    """A free port of this test process."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port := next(_ports)))
            return port


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres: Debian's, or the one on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def redis_program() -> str | None:
    return shutil.which("redis-server")


def chromium_program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


MORE: Final = 1_000
"""Factor of the rate limits: a test is one client and sends the requests of thousands."""
SETTINGS: Final = {"WORKERS": "1", "DRAIN_SECONDS": "0", "RUNTIME_DIR": "{folder}/cache", "RATE_LIMIT_SCALE": str(MORE)}
"""The defaults of every server, where ``{folder}`` is its folder; a suite may add more."""


class Postgres:
    """A temporary PostgreSQL server, without fsync."""

    def __init__(self, folder: Path, primary: "Postgres | None" = None, *options: str) -> None:
        """A new cluster, or a streaming replica of ``primary``; ``options`` are command-line options of postgres."""
        assert_allowed()
        programs = postgres_programs()
        assert programs is not None, "PostgreSQL's server programs are not installed"
        self._programs, self._folder, self._data = programs, folder, folder / "data"
        self.port = free_port()
        self.owner, self._as_owner = ordinary_user(folder)
        self._options = options
        self.url = f"postgresql://restwell@127.0.0.1:{self.port}/postgres"
        if primary is None:
            fresh = ["--username=restwell", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
            self._run("initdb", "-D", self._data, *fresh)
        else:
            source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "restwell"]
            self._run("pg_basebackup", "-D", self._data, *source, "-R", "--checkpoint=fast", "--no-sync")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        options = [f"-p{self.port}", "-hlocalhost", f"-k{self._folder}", "-cfsync=off", "-cmax_connections=200"]
        self._server = subprocess.Popen(
            [*self._as_owner, self._programs / "postgres", "-D", self._data, *options, "-cjit=off", *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _accepts(self._programs, self.port), self._server)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is a fast shutdown, SIGQUIT an immediate one, as after a crash."""
        self._server.send_signal(how)
        self._server.wait(READY_SECONDS)

    def kill(self) -> None:
        """Kill all its processes, as a power failure does."""
        _signal(self.processes(), signal.SIGKILL)
        self._server.wait(READY_SECONDS)

    def freeze(self) -> None:
        """Suspend all its processes, as on a machine that hangs; ``thaw`` resumes them."""
        self._frozen = self.processes()
        _signal(self._frozen, signal.SIGSTOP)

    def thaw(self) -> None:
        _signal(self._frozen, signal.SIGCONT)

    def promote(self) -> None:
        """Promote a replica to primary."""
        self._run("pg_ctl", "promote", "-D", self._data)

    def ask_for_a_password(self, role: str, password: str) -> None:
        """Create a role that must log in with its password."""
        self.run_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.run_sql("SELECT pg_reload_conf()")

    def run_sql(self, statement: str) -> None:
        self._run("psql", "-q", "-c", statement, self.url)

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        return [self._server.pid, *map(int, children)]

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run([*self._as_owner, self._programs / program, *arguments], check=True, capture_output=True)


class RedisServer:
    """A temporary Redis server; it persists nothing unless ``options`` enable it."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert_allowed()
        self.port = free_port()
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._options = options

    def start(self, *options: str) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._server = subprocess.Popen(
            [*command, "--save", "", *self._options, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: listens(self.port), self._server)

    def stop(self) -> None:
        """Shut down; its data is lost."""
        self._server.send_signal(signal.SIGCONT)
        self._server.terminate()
        self._server.wait(READY_SECONDS)

    def kill(self) -> None:
        self._server.kill()
        self._server.wait(READY_SECONDS)

    def freeze(self) -> None:
        """Suspend it, as on a machine that hangs; ``thaw`` resumes it."""
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A running Redis server."""
    with tempfile.TemporaryDirectory(prefix="restwell-redis-") as folder:
        server = RedisServer(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _signal(processes: list[int], what: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):  # the process of a connection that has just ended
            os.kill(process, what)


@contextmanager
def postgres(primary: Postgres | None = None, *options: str) -> Iterator[Postgres]:
    """A running PostgreSQL server; with ``primary``, a replica of it."""
    with tempfile.TemporaryDirectory(prefix="restwell-postgres-") as folder:
        server = Postgres(Path(folder), primary, *options)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def ordinary_user(folder: Path) -> tuple[str, list[str]]:
    """The user of the server, and the command prefix that switches to it. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name, []
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, owner)
    return owner, ["setpriv", f"--reuid={owner}", "--clear-groups", "--"]


def _accepts(programs: Path, port: int) -> bool:
    asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    return subprocess.run(asked, check=False).returncode == 0


class Served:
    """A restwell process and its output."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text()

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=2, verify=TLS).status_code == 200
        except httpx.TransportError:
            return False


@cache
def _runtime_dir() -> str:
    return tempfile.mkdtemp(prefix="restwell-test-cache-")


def restwell(
    *arguments: str, cwd: Path = ROOT, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a ``restwell`` command and return its exit code and output."""
    return run_command(arguments, cwd, {**os.environ, "RUNTIME_DIR": _runtime_dir(), **environment}, stdin=stdin)


def run_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, stdin: str = "", full: bool = False
) -> subprocess.CompletedProcess[str]:
    """The same with exactly this environment. With ``full``, every file write fails, as on a full disk."""
    assert_allowed()
    return commands.shared().run(arguments, folder, environment, stdin=stdin, full=full)


@asynccontextmanager
async def serving(folder: Path, *command: str | Path, cwd: Path = ROOT, **environment: str) -> AsyncIterator[Served]:
    """``serve`` without blocking the event loop: for servers that connect to one of this process."""
    context = serve(folder, *command, cwd=cwd, **environment)
    served = await asyncio.to_thread(context.__enter__)
    try:
        yield served
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@contextmanager
def serve(folder: Path, *command: str | Path, cwd: Path = ROOT, **environment: str) -> Iterator[Served]:
    """Run a command on a free port until the block ends; enters when it is ready. Its output goes to ``folder``."""
    with serve_into(None, folder, *command, cwd=cwd, **environment) as served:
        yield served


@contextmanager
def serve_into(
    sink: int | None, folder: Path, *command: str | Path, cwd: Path = ROOT, **environment: str
) -> Iterator[Served]:
    """The same, with its output sent to a file descriptor."""
    assert_allowed()
    port, log = free_port(), folder / "server.log"
    run = str(uuid4())
    own = {name: value.replace("{folder}", str(folder)) for name, value in SETTINGS.items()}
    env = {**os.environ, **own, **environment, "PORT": str(port), RUN: run}
    with log.open("wb") as output:
        written = output.fileno() if sink is None else sink
        process = started(command, cwd, env, written)
    served = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(served.is_ready, process, served)
        yield served
    finally:
        process.terminate()
        process.wait(READY_SECONDS)
        assert_nothing_left(run, process.pid)
        shutil.rmtree(folder / "cache", ignore_errors=True)


@contextmanager
def working(folder: Path, *arguments: str, cwd: Path = ROOT, **environment: str) -> Iterator[Served]:
    """Run ``restwell worker`` until the block ends; enters when it has started. Its output goes to ``folder``."""
    assert_allowed()
    run, log = str(uuid4()), folder / f"worker-{uuid4().hex}.log"
    env = {**os.environ, "RUNTIME_DIR": str(folder / "cache"), **environment, RUN: run}
    with log.open("wb") as output:
        process = started((RESTWELL, "worker", *arguments), cwd, env, output.fileno())
    worker = Served(process, "", log)
    try:
        wait_until(lambda: "worker_started" in worker.output, process, worker)
        yield worker
    finally:
        process.terminate()
        process.wait(READY_SECONDS + 30)
        assert_nothing_left(run, process.pid)


def started(command: tuple[str | Path, ...], folder: Path, environment: Mapping[str, str], output: int) -> Process:
    """A fork for ``restwell serve`` and ``restwell worker``, unless the interpreter itself is to start differently."""
    own = {name for name in environment if environment[name] != os.environ.get(name)}
    differs = any(name.startswith(("LD_", "PYTHON")) and name != "PYTHONPATH" for name in own)
    if command[0] != RESTWELL or command[1] not in {"serve", "worker"} or differs:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    with Path(os.devnull).open("rb") as nothing:
        outputs = nothing.fileno(), output, output
        return commands.shared().fork([str(each) for each in command[1:]], folder, environment, outputs)


def wait_until(ready: Callable[[], bool], process: Process | None = None, served: Served | None = None) -> None:
    """Poll until ``ready()``. Fails when the process ends, or after READY_SECONDS."""
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        what = served.output if served else ""
        ended = process.poll() if process else None
        assert ended is None, f"the server ended with {ended}: {what}"
        assert time.monotonic() < deadline, f"not ready in {READY_SECONDS} s: {what}"
        time.sleep(0.05)
