"""The command line: the effect of each command, and one clear line and exit code 2 on an error."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from restwell._cli.migrate import _migrated
from restwell.database import Migrations
from servers import RESTWELL, SUPPORT, free_port, restwell, serve
from tiny.app import MIGRATIONS

pytestmark = pytest.mark.integration

HEAD = Migrations(MIGRATIONS).head
STRONG = "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt"


@pytest.fixture
def tiny_env(tmp_path: Path) -> dict[str, str]:
    return {
        "RESTWELL_APP": "tiny.app:project",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}",
        "PORT": str(free_port()),
    }


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Assert exit code 2 and exactly one line of errors for each word, beside log lines, which are JSON."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert (result.returncode, len(lines)) == (2, len(words)), result.stderr
    for line, word in zip(lines, words, strict=True):
        assert line.startswith("restwell: ")
        assert word in line


def test_serve_refuses_an_unmigrated_database_and_serves_a_migrated_one(
    tiny_env: dict[str, str], tmp_path: Path
) -> None:
    assert_refused(restwell("serve", cwd=tmp_path, **tiny_env), f"revision none, not {HEAD}: run restwell migrate")
    done = restwell("migrate", cwd=tmp_path, **tiny_env)
    assert done.returncode == 0
    assert re.fullmatch(rf"empty -> {HEAD} \(\d+ statements\)\n", done.stdout)
    assert restwell("migrate", cwd=tmp_path, **tiny_env).stdout == "nothing to migrate\n"
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **tiny_env) as served:
        assert httpx.get(f"{served.url}/v1/notes/greeting").text == "hello"
    assert served.process.returncode == 0


def test_migrate_names_only_the_packages_whose_revision_changed() -> None:
    """Breaks when it prints the newest revision of every package, before and after: up to nine of each."""
    before, after = "restwell 0004_a, accounts 0001_b", "restwell 0004_a, accounts 0002_c, 0001_d"
    assert _migrated(before, after, 5) == "accounts 0001_b -> accounts 0002_c, 0001_d (5 statements)"
    assert _migrated(None, before, 9) == f"empty -> {before} (9 statements)"
    assert _migrated(before, f"{before}, 0001_d", 2) == "empty -> 0001_d (2 statements)"


def test_migrate_prints_sql_without_running_it(tiny_env: dict[str, str], tmp_path: Path) -> None:
    printed = restwell("migrate", "--sql", cwd=tmp_path, **tiny_env)
    assert printed.returncode == 0
    assert printed.stdout.index("CREATE TABLE jobs") < printed.stdout.index("CREATE TABLE notes")
    assert restwell("migrate", cwd=tmp_path, **tiny_env).stdout.startswith("empty")


@pytest.mark.parametrize("command", ["migrate", "serve", "dev"])
def test_migrations_of_two_branches_are_refused_by_each_command_that_uses_them(
    tiny_env: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Regression: the command ran one of the two migrations and exited with 0."""
    (tmp_path / "branches.py").write_text(
        "from dataclasses import replace\nfrom functools import partial\nfrom pathlib import Path\n"
        "from tiny import app\n"
        "create_app = partial(app.create_app, migrations=Path('m'))\n"
        "project = replace(app.project, create_app=create_app)\n"
    )
    (tmp_path / "m" / "versions").mkdir(parents=True)
    for name, down in (("0001_a", None), ("0002_b", "0001"), ("0002_c", "0001")):
        text = f'"""A (pre-deploy)."""\nrevision = "{name[:4]}"\ndown_revision = {down!r}\ndef upgrade(): ...\n'
        (tmp_path / "m" / "versions" / f"{name}.py").write_text(text)
    env = {**tiny_env, "RESTWELL_APP": "branches:project", "PYTHONPATH": f"{tiny_env['PYTHONPATH']}:{tmp_path}"}
    result = restwell(*command.split(), cwd=tmp_path, **env)
    assert_refused(
        result,
        "0002_b.py and 0002_c.py have the same number: rename the one that has not run on any database, to 0003_c.py",
    )


def test_an_application_without_tables_has_those_of_the_kit(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """It names no migrations. Breaks when the folder is required, or when the kit is not migrated without one."""
    (tmp_path / "small.py").write_text(
        "from dataclasses import replace\nfrom functools import partial\nfrom tiny import app\n"
        "project = replace(app.project, create_app=partial(app.create_app, migrations=None), seed=None)\n"
    )
    env = {**tiny_env, "RESTWELL_APP": "small:project", "PYTHONPATH": f"{tiny_env['PYTHONPATH']}:{tmp_path}"}
    head = Migrations().head
    assert_refused(restwell("serve", cwd=tmp_path, **env), f"at revision none, not {head}: run restwell migrate")
    assert restwell("migrate", "--check", cwd=tmp_path, **env).stdout == "0 migrations, 0 findings\n"
    assert restwell("migrate", cwd=tmp_path, **env).stdout.startswith(f"empty -> {head} (")
    assert restwell("jobs", "list", cwd=tmp_path, **env).returncode == 0
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **env) as served:
        assert httpx.get(f"{served.url}/health/ready").json()["schema"] == head


def test_routes_lists_who_may_call_each_route(tiny_env: dict[str, str], tmp_path: Path) -> None:
    lines = restwell("routes", cwd=tmp_path, **tiny_env).stdout.splitlines()
    rows = [line.split() for line in lines]
    assert ["GET", "/v1/notes/secrets", "owner", "read_secrets", "directly"] in rows
    assert ["POST", "/v1/notes", "anyone", "add", "directly"] in rows
    assert ["POST", "/v1/guesses", "anyone", "10/60", "s", "guess", "directly"] in rows


def test_routes_lists_what_the_kit_does_for_a_wrapped_application(tiny_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "existing.py").write_text(
        "from restwell import Project, Restwell\n"
        "from restwell.asgi import Route\n"
        "from restwell.rate_limits import Rate\n"
        "from restwell.settings import Settings\n"
        "async def api(scope, receive, send): ...\n"
        "limit = Rate('login', 5, seconds=60)\n"
        "routes = [Route('POST', '/login', rate_limit=limit), Route('GET', '/', rate_limit=None)]\n"
        "wrap = lambda settings: Restwell(settings, name='existing').wrap(api, routes)\n"
        "project = Project(name='existing', settings=Settings, create_app=wrap)\n"
    )
    env = {**tiny_env, "RESTWELL_APP": "existing:project", "PYTHONPATH": str(tmp_path)}
    lines = restwell("routes", cwd=tmp_path, **env).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["POST", "/login", "5/60", "s", "by", "the", "wrapped", "application"],
        ["GET", "/", "by", "the", "wrapped", "application"],
    ]


def test_openapi_prints_the_document(tiny_env: dict[str, str], tmp_path: Path) -> None:
    assert json.loads(restwell("openapi", cwd=tmp_path, **tiny_env).stdout)["info"]["title"] == "tiny"


def test_log_lines_are_not_part_of_a_result(tiny_env: dict[str, str], tmp_path: Path) -> None:
    """Fails if the logs of a command go to standard output: a file with the document is then no JSON."""
    (tmp_path / "warns.py").write_text(
        "from dataclasses import replace\nimport structlog\nfrom tiny.app import project as good\n"
        "def create_app(settings):\n    structlog.get_logger().warning('old_option')\n"
        "    return good.create_app(settings)\nproject = replace(good, create_app=create_app)\n"
    )
    env = {**tiny_env, "RESTWELL_APP": "warns:project", "PYTHONPATH": f"{SUPPORT}:{tmp_path}"}
    printed = restwell("openapi", cwd=tmp_path, **env)
    assert json.loads(printed.stdout)["openapi"] == "3.1.0"
    assert json.loads(printed.stderr)["event"] == "old_option"


@pytest.mark.parametrize("command", ["routes", "openapi"])
def test_a_command_that_inspects_the_application_writes_no_file(
    tiny_env: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Regression: the command created var/development-secret."""
    assert restwell(command, cwd=tmp_path, **tiny_env).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_application_may_be_named_on_the_command_line(tiny_env: dict[str, str], tmp_path: Path) -> None:
    env = {**tiny_env, "RESTWELL_APP": ""}
    assert_refused(restwell("routes", cwd=tmp_path, **env), "no application configured")
    assert restwell("--app", "tiny.app:project", "routes", cwd=tmp_path, **env).returncode == 0
    assert_refused(restwell("--app", "tiny.app:nothing", "routes", cwd=tmp_path, **env), "no application at")


def test_seed_needs_demo_data(tiny_env: dict[str, str], tmp_path: Path) -> None:
    env = {**tiny_env, "RESTWELL_APP": "jobs_app.app:project"}
    assert_refused(restwell("seed", cwd=tmp_path, **env), "jobs_app has no demo data")


@pytest.mark.parametrize("command", ["dev", "seed"])
def test_development_commands_refuse_production(tiny_env: dict[str, str], tmp_path: Path, command: str) -> None:
    live = {
        "APP_ENV": "production",
        "JWT_SECRET": STRONG,
        "APP_URL": "https://shop.example",
        "SMTP_URL": "folder:var/mail",
    }
    env = {**tiny_env, **live}
    assert_refused(restwell(command, cwd=tmp_path, **env), f"{command} is for development")


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_all_invalid_settings_are_named_together(tiny_env: dict[str, str], tmp_path: Path, command: str) -> None:
    env = {**tiny_env, "PORT": "http", "WORKERS": "0", "DATABASE_URL": "mysql://root:hunter2@h/d"}
    result = restwell(command, cwd=tmp_path, **env)
    assert_refused(result, "PORT: ", "WORKERS: ", "DATABASE_URL: must begin with")
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_port_in_use_is_named(tiny_env: dict[str, str], tmp_path: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", int(tiny_env["PORT"]))):
        result = restwell(command, cwd=tmp_path, **tiny_env)
    assert_refused(result, f"cannot listen on 127.0.0.1:{tiny_env['PORT']} (Address already in use)")


@pytest.mark.parametrize("command", ["dev", "serve", "migrate"])
@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://u:hunter2@127.0.0.1:{port}/d", "PostgreSQL at 127.0.0.1:"),
        ("sqlite:////proc/none/x.db", "SQLite cannot open /proc/none/x.db"),
    ],
)
def test_an_unreachable_database_is_named(
    tiny_env: dict[str, str], tmp_path: Path, command: str, url: str, word: str
) -> None:
    env = {**tiny_env, "DATABASE_URL": url.format(port=free_port())}
    result = restwell(command, cwd=tmp_path, **env)
    assert_refused(result, word)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_more_pooled_connections_than_the_server_allows_are_refused(
    tiny_env: dict[str, str], tmp_path: Path, postgres_server: str, command: str
) -> None:
    """Breaks without the check: the server then starts and runs out of connections under load."""
    env = {**tiny_env, "DATABASE_URL": postgres_server, "WORKERS": "4", "DATABASE_POOL_SIZE": "100"}
    result = restwell(command, cwd=tmp_path, **env)
    assert_refused(result, "DATABASE_POOL_SIZE: 4 workers with 101 connections each need 404, and PostgreSQL allows")


def test_restwell_runs_as_a_python_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restwell", "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    for name in ("dev", "serve", "migrate", "backup", "explain", "seed", "routes", "openapi"):
        assert name in result.stdout
