"""Every command with invalid settings or a broken environment: one line per error, exit code 2, no traceback."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restwell.database import open_database
from servers import RESTWELL, free_port, postgres, run_command
from shop.app import create_app
from shop.settings import ShopSettings

Run = Callable[..., subprocess.CompletedProcess[str]]

DATABASE_COMMANDS = ("migrate", "serve", "worker", "seed", "jobs list", "explain")
"""Commands that need the database."""
SAMPLE_COMMANDS = ("migrate", "jobs list")
"""A command that opens the database directly, and one that starts the application."""
UNSET = {"RUNTIME_DIR", "METRICS_DIR", "DATABASE_URL", "JWT_SECRET"}
ALL_COMMANDS = (
    *DATABASE_COMMANDS,
    "dev",
    "cache clear",
    "cache stats",
    "routes",
    "openapi",
    "backup copy.db",
    "migrate --check",
)
SQLITE_COMMANDS = (*DATABASE_COMMANDS, "dev", "backup copy.db")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in the folder of the test."""

    def run(
        command: str, *, full: bool = False, folder: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        own = {"RESTWELL_APP": "shop.app:shop", "PORT": str(free_port()), "RUNTIME_DIR": str(tmp_path / "cache")}
        outer = {name: value for name, value in os.environ.items() if name not in UNSET}
        return run_command(command.split(), folder, {**outer, **own, **environment}, full=full)

    return run


@pytest.fixture(scope="module")
def faulty_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("databases")
    (folder / "no-database.db").write_text("this is not a database, " * 400)
    (folder / "folder.db").mkdir()
    with postgres() as server:
        server.ask_for_a_password("guarded", "right")
        server.run_sql("CREATE DATABASE fresh")
        server.run_sql("CREATE ROLE outsider LOGIN")
        at = f"127.0.0.1:{server.port}"
        yield {
            "unreachable": f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d",
            "no such host": "postgresql://u:hunter2@host.invalid/d",
            "wrong password": f"postgresql://guarded:hunter2@{at}/postgres",
            "no such user": f"postgresql://stranger:hunter2@{at}/postgres",
            "no such database": f"postgresql://restwell@{at}/absent",
            "no permission": f"postgresql://outsider@{at}/fresh",
            "fresh": f"postgresql://restwell@{at}/fresh",
            "not a database": f"sqlite:///{folder}/no-database.db",
            "a folder": f"sqlite:///{folder}/folder.db",
            "no folder": "sqlite:////proc/none/x.db",
            "fresh file": f"sqlite:///{folder}/fresh.db",
        }


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = [line for line in result.stderr.splitlines() if not line.startswith("20")]  # without log lines
    assert (result.returncode, len(lines)) == (2, len(words)), (result.stdout, result.stderr)
    for line, word in zip(lines, words, strict=True):
        assert line.startswith("restwell: ")
        assert word in line
    assert "Traceback" not in result.stdout + result.stderr
    assert "hunter2" not in result.stdout + result.stderr


UNUSABLE = {
    "wrong password": (DATABASE_COMMANDS, "DATABASE_URL: PostgreSQL at 127.0.0.1:"),
    "not a database": (DATABASE_COMMANDS, "DATABASE_URL: SQLite cannot open"),
    "unreachable": (SAMPLE_COMMANDS, "DATABASE_URL: PostgreSQL at 127.0.0.1:"),
    "no such database": (SAMPLE_COMMANDS, "createdb"),
    "a folder": (SAMPLE_COMMANDS, "DATABASE_URL: SQLite cannot open"),
    "no such host": (SAMPLE_COMMANDS, "DATABASE_URL: PostgreSQL at host.invalid"),
    "no such user": (SAMPLE_COMMANDS, "check user and password in DATABASE_URL"),
    "no folder": (SAMPLE_COMMANDS, "DATABASE_URL: SQLite cannot open /proc/none/x.db"),
}


@pytest.mark.parametrize(
    ("command", "fault", "word"),
    [(command, fault, word) for fault, (commands, word) in UNUSABLE.items() for command in commands],
)
def test_each_command_names_an_unusable_database(
    run: Run, faulty_databases: dict[str, str], command: str, fault: str, word: str
) -> None:
    """Regression: the message did not name the setting."""
    assert_refused(run(command, DATABASE_URL=faulty_databases[fault]), word)


@pytest.mark.parametrize("command", [*(one for one in DATABASE_COMMANDS if one != "migrate"), "jobs retry --name=mail"])
@pytest.mark.parametrize("fault", ["fresh", "fresh file"])
def test_each_command_refuses_an_unmigrated_database(
    run: Run, faulty_databases: dict[str, str], command: str, fault: str
) -> None:
    """Regression: `seed` and the job commands printed the driver's error about a missing table."""
    assert_refused(run(command, DATABASE_URL=faulty_databases[fault]), "run restwell migrate")


def test_migrate_reports_a_missing_privilege(run: Run, faulty_databases: dict[str, str]) -> None:
    assert_refused(run("migrate", DATABASE_URL=faulty_databases["no permission"]), "permission denied")


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_each_command_names_every_invalid_setting(run: Run, command: str) -> None:
    assert_refused(run(command, PORT="http", DATABASE_URL="mysql://u:hunter2@h/d"), "PORT: ", "DATABASE_URL: ")


@pytest.mark.parametrize(
    ("file", "word"),
    [("[tool.restwell\n", "pyproject.toml is not valid TOML"), ("\xff", "pyproject.toml is not valid TOML")],
)
def test_a_broken_project_file_is_named(run: Run, tmp_path: Path, file: str, word: str) -> None:
    """Regression: the command printed a stack trace."""
    (tmp_path / "pyproject.toml").write_bytes(file.encode("latin-1"))
    assert_refused(run("routes", RESTWELL_APP=""), word)


@pytest.mark.parametrize("command", ["dev", "serve"])
@pytest.mark.parametrize("host", ["127.0.0.1", "a..b", "no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_cannot_be_bound_is_named(run: Run, command: str, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used_socket:
        port = str(used_socket.getsockname()[1])
        assert_refused(run(command, HOST=host, PORT=port), f"cannot listen on {host}:{port}")


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n{]\xff"]
)
def test_cache_stats_refuses_another_server(run: Run, answer: bytes) -> None:
    """Regression: a response that is not HTTP, or not metrics, caused a stack trace."""
    with socket.create_server(("127.0.0.1", 0)) as other_server:

        def serve() -> None:
            connection, _ = other_server.accept()
            with connection:
                connection.sendall(answer)
                if answer:
                    connection.recv(65_536)

        thread = threading.Thread(target=serve)
        thread.start()
        result = run("cache stats", PORT=str(other_server.getsockname()[1]))
        thread.join()
    assert_refused(result, "no response from")


@pytest.fixture(scope="module")
async def migrated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a migrated database of the shop."""
    url = f"sqlite:///{tmp_path_factory.mktemp('migrated') / 'shop.db'}"
    async with open_database(url, 1) as database:
        await create_app(ShopSettings()).migrations.upgrade(database)
    return url


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_command_whose_processes_could_not_start_ends_with_the_reason(
    run: Run, migrated: str, tmp_path: Path, command: str
) -> None:
    """Regression: `serve` started, and each of its processes exited with a stack trace."""
    (tmp_path / "jwt.pem").write_text("no key")
    assert_refused(run(command, DATABASE_URL=migrated, JWT_KEY_FILES=str(tmp_path / "jwt.pem")), "JWT_KEY_FILES")


@pytest.mark.parametrize("command", ["serve", "worker"])
@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("RUNTIME_DIR", "/proc/none/cache", "RUNTIME_DIR: /proc/none/cache is not writable"),
        ("FILES_DIR", "/proc/none/files", "FILES_DIR: /proc/none/files is not writable"),
        ("SMTP_URL", "folder:/proc/none/mail", "SMTP_URL: /proc/none/mail is not writable"),
        ("PAYMENTS_URL", "fake:////proc/none/x.db", "PAYMENTS_URL: /proc/none is not writable"),
    ],
)
def test_an_unwritable_folder_is_named_with_its_setting(
    run: Run, migrated: str, command: str, setting: str, value: str, word: str
) -> None:
    """Regression: the command printed a stack trace, or started and failed at the first file."""
    assert_refused(run(command, DATABASE_URL=migrated, **{setting: value}), word)


@pytest.mark.parametrize("command", ["serve", "worker", "cache clear", "jobs list"])
def test_a_secret_that_cannot_be_created_is_named_with_its_setting(
    run: Run, migrated: str, tmp_path: Path, command: str
) -> None:
    """Regression: the command printed a stack trace, since `var` is in its working directory."""
    others = {"FILES_DIR": str(tmp_path), "SMTP_URL": "smtp+plain://localhost:25"}
    payments = {"PAYMENTS_URL": "https://sk_test@api.stripe.com"}
    result = run(command, folder=Path("/proc"), DATABASE_URL=migrated, **payments, **others)
    assert_refused(result, "JWT_SECRET: var/development-secret cannot be created or read")


@pytest.mark.parametrize("command", ["routes", "cache clear"])
def test_a_missing_temporary_folder_is_reported_with_its_setting(
    run: Run, faulty_databases: dict[str, str], command: str
) -> None:
    """Regression: the command printed a stack trace. Files must stay empty here, like on a full disk."""
    result = run(command, full=True, RUNTIME_DIR="", DATABASE_URL=faulty_databases["fresh"], JWT_SECRET="x" * 48)
    assert_refused(result, "RUNTIME_DIR: there is no temporary folder")


def test_all_unwritable_settings_are_named_together_on_a_read_only_root(
    run: Run, faulty_databases: dict[str, str], tmp_path: Path
) -> None:
    """Regression: the command printed a stack trace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root makes mounts read-only")
    url = faulty_databases["fresh"].replace("/fresh", "/postgres")
    env = {**os.environ, "RESTWELL_APP": "shop.app:shop", "DATABASE_URL": url, "PORT": str(free_port())}
    env.pop("RUNTIME_DIR", None)
    assert run("migrate", DATABASE_URL=url).returncode == 0
    mounts = (
        "mount --bind / / && for m in / /tmp /var/tmp /dev/shm;"
        " do mount --bind $m $m; mount -o remount,ro,bind $m; done"
    )
    script = f"{mounts} 2>/dev/null; cd {tmp_path}; exec {RESTWELL} serve"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=env, capture_output=True, text=True, check=False)
    names = ("RUNTIME_DIR: there is no", "PAYMENTS_URL", "FILES_DIR", "SMTP_URL", "JWT_SECRET")
    lines = sorted(done.stderr.splitlines())
    assert (done.returncode, len(lines)) == (2, len(names)), done.stderr
    for name, line in zip(sorted(names), lines, strict=True):
        assert line.startswith(f"restwell: {name}"), done.stderr
