"""The pytest plugin of both test suites: the run, its servers, and a database for each test.

A suite defines the fixture ``prepare``, which fills an empty database.

Tests that need a missing server are listed at the end of the run.
"""

import gc
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import compress
from operator import not_
from pathlib import Path

import pytest
import structlog

import commands
import reaper
import servers
from rabbit import rabbit_program, rabbit_server
from restwell.database import Database, open_database
from restwell.observability._log_output import output
from restwell.testing import DatabaseTemplate
from restwell.testing._database_template import postgres_database
from scoreboard import ScoreTable
from servers import NEEDS, postgres, postgres_programs, redis_program, redis_server

Prepare = Callable[[Database], Awaitable[None]]

KINDS = {
    "unit": "needs no server and no process but its own",
    "integration": "needs a server, or runs a command",
    "system": "starts the application as in production, and does to it what may happen there",
}
SERVERS = {"postgres_server", "redis_url", "rabbit_url"}
_ENDED = pytest.StashKey[int]()

# The tests start hundreds of processes; without bytecode files, each would compile every module.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure(config: pytest.Config) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):  # a shell lets its background jobs ignore them, and their children
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if not hasattr(config, "workerinput"):
        _open_run(config)
    config.addinivalue_line("markers", "scoreboard(number, fault, mark): a fault on docs/scoreboard.md")
    config.pluginmanager.register(ScoreTable(), "scoreboard")
    config.pluginmanager.import_plugin("failure_report")
    for kind, meaning in KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    config.addinivalue_line("markers", "slow: a unit test of 0.3 s or more; make test-quick leaves it out")
    # Rich takes most of a second for a traceback, and blocks the event loop meanwhile.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice the number of cores, because many tests wait."""
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [any(item.get_closest_marker(kind) for kind in KINDS) for item in items]
    for item, kind_is_known in zip(items, marked, strict=True):
        if not kind_is_known:
            item.add_marker(_kind_of(item))
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        starts = [known or "system" in item.path.parts for item, known in zip(items, marked, strict=True)]
        items[:] = _long_tests_first(list(compress(items, starts)), list(compress(items, map(not_, starts))), workers)


def _long_tests_first(long: list[pytest.Item], short: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Each worker begins with its share of the tests that start processes: at the end, others would wait for one.

    ``--dist=worksteal`` gives each worker a slice of the list, and takes from the end of slices when a worker is idle.
    """
    ordered: list[pytest.Item] = []
    left = len(long) + len(short)
    for number in range(workers, 0, -1):
        size, of_long = left // number, -(-len(long) // number)
        ordered += long[:of_long] + short[: size - of_long]
        del long[:of_long], short[: size - of_long]
        left -= size
    return ordered


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from hundreds of thousands of objects that last as long as the run."""
    gc.collect()
    gc.freeze()


def _kind_of(item: pytest.Item) -> str:
    if "system" in item.path.parts:
        return "system"
    needed = SERVERS & set(getattr(item, "fixturenames", ()))
    return (
        "integration"
        if needed or re.search("postgresql|redis|rabbit|strict|bounded", item.name.partition("[")[2])
        else "unit"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    servers.allowed = item.get_closest_marker("unit") is None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Write the log lines of the test while its output is captured: the next ones belong to another test."""
    output.flush()


def _open_run(config: pytest.Config) -> None:
    """Create the temporary folder of the run. It is removed, and its processes are ended, however the run ends."""
    folder = Path(tempfile.mkdtemp(prefix="restwell-tests-"))
    folder.chmod(0o711)  # PostgreSQL has a folder there, and another user
    watcher = reaper.watched(folder)
    certificates = folder / "certificates"
    certificates.mkdir()
    # Each HTTP client would read the certificates of all authorities, in 20 ms of processor time. No test needs one.
    os.environ |= {reaper.FOLDER: str(folder), "TMPDIR": str(folder), "SSL_CERT_DIR": str(certificates)}
    os.environ.pop("SSL_CERT_FILE", None)
    tempfile.tempdir = None

    def close() -> None:
        watcher.kill()
        watcher.wait()
        left = reaper.sweep(folder)
        if left and config.stash.get(_ENDED, None) != pytest.ExitCode.INTERRUPTED:
            raise AssertionError(f"the tests left processes behind, which have been ended now: {left}")

    config.add_cleanup(close)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of the maintenance database of a temporary server, or of TEST_POSTGRES_URL."""
    if named := os.environ.get("TEST_POSTGRES_URL"):
        yield named
        return
    if postgres_programs() is None:
        pytest.skip(f"{NEEDS}: PostgreSQL (apt-get install postgresql)")
    with postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A temporary Redis server. Tests share it: keys begin with the name of an application."""
    if redis_program() is None:
        pytest.skip(f"{NEEDS}: Redis (apt-get install redis-server)")
    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' checker of metrics, rules and their tests. Its package has the server too."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip(f"{NEEDS}: Prometheus (apt-get install prometheus)")
    return found


@pytest.fixture(scope="session")
def rabbit_url() -> Iterator[str]:
    """A temporary RabbitMQ server. Tests share it: queues begin with the name of an application."""
    if rabbit_program() is None:
        pytest.skip(f"{NEEDS}: RabbitMQ (apt-get install rabbitmq-server)")
    with rabbit_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Runs each test that depends on it on both databases."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
async def templates() -> dict[tuple[str, Prepare], DatabaseTemplate]:
    """The templates that ``database_url`` copies, for each backend and ``prepare``."""
    return {}


@pytest.fixture
async def empty_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of an empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: str = request.getfixturevalue("postgres_server")
    async with postgres_database(server, "template1") as url:
        yield url


@pytest.fixture
async def database_url(
    backend: str,
    tmp_path_factory: pytest.TempPathFactory,
    templates: dict[tuple[str, Prepare], DatabaseTemplate],
    prepare: Prepare,
    request: pytest.FixtureRequest,
) -> AsyncIterator[str]:
    """The URL of a new database that ``prepare`` filled."""
    template = templates.get((backend, prepare))
    if template is None:
        server = request.getfixturevalue("postgres_server") if backend == "postgresql" else ""
        template = templates[backend, prepare] = DatabaseTemplate(tmp_path_factory.mktemp("databases"), server)
    async with template.copy(prepare) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The open database of the test."""
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def runtime_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all tests: an application that starts alone in it clears it."""
    return tmp_path_factory.mktemp("cache")


def pytest_unconfigure() -> None:
    commands.end()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing := _missing(terminalreporter):
        terminalreporter.section("NOT TESTED on this machine", red=True, bold=True)
        for reason in sorted(missing):
            terminalreporter.line(reason)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_ENDED] = exitstatus
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and _missing(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _missing(reporter: pytest.TerminalReporter) -> set[str]:
    return {str(report.longrepr[2]) for report in reporter.stats.get("skipped", ()) if NEEDS in str(report.longrepr)}
