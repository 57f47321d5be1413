"""The core alone and each extra alone, from the wheel, in empty environments. A missing extra is one line."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from bare_environments import bare_environment
from commands import CommandServer
from servers import SUPPORT, free_port, serve, wait_until

LIBRARIES: Final = {
    "auth": {"argon2-cffi", "joserfc", "pyotp", "zxcvbn"},
    "contract": {"schemathesis"},
    "dev": {"watchfiles"},
    "docs": {"swagger-ui-py"},
    "graphiql": {"graphene-django-graphiql-static"},
    "graphql": {"graphql-core"},
    "grpc": {"grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status"},
    "litestar": {"litestar"},
    "mail": {"aiosmtplib", "email-validator"},
    "ops": {"django-js-lib-htmx"},
    "postgresql": {"asyncpg"},
    "rabbitmq": {"aio-pika", "aiormq"},
    "redis": {"redis", "hiredis"},
    "testing": {"httpx", "pytest", "pytest-asyncio", "time-machine"},
}
BROUGHT: Final = {
    "auth": {"email-validator", "httpx"},
    "contract": {"graphql-core", "httpx", "pytest"},
    "litestar": {"httpx"},
}
"""Libraries of other extras that an extra needs as well."""
NEED_AN_EXTRA: Final = {
    "accounts": "auth",
    "auth.oauth": "auth",
    "email_addresses": "mail",
    "graphql": "graphql",
    "grpc": "grpc",
    "litestar": "litestar",
    "mail": "mail",
    "ops": "ops",
    "testing": "testing",
}

STARTS: Final = {
    "auth": """
        import time
        from restwell.auth import new_totp_secret, totp_uri
        from restwell.auth.oauth import Providers
        from restwell.ids import new_id
        hashed = await kit.passwords.hash_new("three random words")
        assert await kit.passwords.verify("three random words", hashed)
        token = kit.access_tokens.issue(new_id(), new_id())
        assert kit.access_tokens.verify(token).exp > time.time()
        assert totp_uri(new_totp_secret(), account="a", issuer="b")
        assert isinstance(kit.oauth_providers, Providers) and kit.oauth_flows and kit.secret_box""",
    "contract": """
        import asyncio
        from restwell.testing import contract_tests
        tested = project.create_app(project.load_settings())
        report = await asyncio.to_thread(contract_tests, tested, examples=1)
        assert report.responses["GET /v1/greetings/{name}"][200]""",
    "docs": """
        from restwell.web._docs import docs_routes
        assert len(docs_routes(app.documents, app.versions)) == 4""",
    "graphiql": """
        from importlib.util import find_spec
        assert find_spec("graphene_django_graphiql_static") is not None""",
    "graphql": """
        from restwell.graphql import GraphQL, GraphQLServer
        greeting = GraphQL(queries={"greeting": GreetingController.greet})
        served = Restwell(kit.settings, name="served").app([GreetingController, greeting])
        assert "greeting(name: String!): String" in served.service(GraphQLServer).sdl""",
    "grpc": """
        from restwell.grpc import Grpc, GrpcServer
        served = Restwell(kit.settings, name="served").app([GreetingController, Grpc()])
        assert served.service(GrpcServer).operations == []""",
    "litestar": """
        from litestar import get
        from restwell.litestar import LitestarHost
        from restwell.testing import running
        @get("/plain", sync_to_thread=False)
        def plain() -> str:
            return "plain"
        hosted = Restwell(kit.settings, name="hosted").app([GreetingController], host=LitestarHost([plain]))
        async with running(hosted) as client:
            assert (await client.get("/plain")).text == "plain"
            assert (await client.get("/greetings/ada")).text == "hello ada" """,
    "mail": """
        from pathlib import Path
        from restwell.email_addresses import EmailAddress
        from restwell.mail import Mail, MailFailed
        mail = Mail(EmailAddress.parse("A@b.example"), "Ada", "Hello", "Hello.", "<p>Hello.</p>", "key")
        try:
            await kit.mailer.send(mail)
        except MailFailed:
            pass  # nothing listens there
        else:
            raise AssertionError""",
    "ops": """
        from restwell.ops import Ops
        async def verify(token):
            raise AssertionError
        pages = Restwell(kit.settings).app([Ops(admin_role="admin", sign_in="/login")], authenticate=verify)
        assert "/ops" in {route.path for route in pages.routes}""",
    "postgresql": """
        from restwell.database import Migrations
        await app.migrations.check(kit.database)
        assert await kit.jobs.queue_stats() == []""",
    "rabbitmq": """
        from restwell._startup import check_services
        assert "jobs" in (await check_services(kit.settings, "core", kit.database)).degraded""",
    "redis": """
        from restwell._startup import check_services
        report = await check_services(kit.settings, "core", kit.database)
        assert report.services["cache"].startswith("Redis at") and not report.degraded
        assert await kit.jobs.queue_stats() == []""",
    "testing": """
        import restwell.testing.plugin
        from restwell.testing import running
        async with running(project.create_app(project.load_settings())) as client:
            assert (await client.get("/v1/greetings/ada")).text == "hello ada" """,
}
"""For each extra: what an application does with it."""

SETTINGS: Final = {
    "mail": {"SMTP_URL": "smtp+plain://127.0.0.1:9"},
    "rabbitmq": {"JOBS_URL": "amqp://guest:guest@127.0.0.1:9/"},
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An application in a folder of its own, without any of this environment's variables."""
    (tmp_path / "code").mkdir()
    shutil.copy(SUPPORT / "core_app.py", tmp_path / "code")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(tmp_path / "code"),
        "RESTWELL_APP": "core_app:project",
        "RUNTIME_DIR": str(tmp_path / "run"),
        "LOG_FORMAT": "json",
        "PORT": str(free_port()),
        "WORKERS": "1",
    }


@pytest.fixture(scope="module")
def core() -> Path:
    return bare_environment("restwell")


def run(
    program: Path, *arguments: str, cwd: Path, env: dict[str, str], expected: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def installed(programs: Path) -> set[str]:
    (packages,) = programs.parent.glob("lib/python*/site-packages")
    return {one.stem.partition("-")[0].lower().replace("_", "-") for one in packages.glob("*.dist-info")}


@pytest.fixture(scope="module")
def command_server(core: Path) -> Iterator[CommandServer]:
    started = CommandServer(core / "python", environment={"PATH": os.environ["PATH"]})
    yield started
    started.close()


class Commands:
    """Runs commands of an environment, each in a process forked from one that has imported everything."""

    def __init__(self, server: CommandServer, environment: dict[str, str]) -> None:
        self._server, self._environment = server, environment

    def run(self, *arguments: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
        done = self._server.run(arguments, cwd, self._environment | environment)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def commands(command_server: CommandServer, environment: dict[str, str]) -> Commands:
    return Commands(command_server, environment)


def test_without_an_application_the_core_prints_help_and_each_command_says_what_to_do(
    commands: Commands, tmp_path: Path
) -> None:
    code, stdout, _ = commands.run("--help", cwd=tmp_path)
    assert (code, "Run and operate a restwell API." in stdout) == (0, True)
    for command in ("dev", "explain", "migrate", "openapi", "routes", "seed", "serve", "worker"):
        code, _, stderr = commands.run(command, cwd=tmp_path, RESTWELL_APP="")
        (line,) = stderr.splitlines()
        assert code == 2
        advice = "pip install 'restwell[dev]'" if command == "dev" else "set RESTWELL_APP=module:name"
        assert line.startswith("restwell: ")
        assert advice in line


def test_the_core_alone_has_no_library_of_an_extra_and_no_shop(core: Path, tmp_path: Path) -> None:
    """Breaks with a library of an extra among the dependencies, and with the shop in the wheel."""
    found = installed(core)
    assert "restwell" in found
    assert not found & set().union(*LIBRARIES.values())
    done = run(core / "python", "-c", "import shop", cwd=tmp_path, env={}, expected=1)
    assert done.stderr.endswith("No module named 'shop'\n")


def test_every_public_module_imports_with_the_core_alone_or_names_its_extra(core: Path, tmp_path: Path) -> None:
    """Breaks if a module imports a library of an extra at its top, as ``import asyncpg``."""
    code = """
import importlib, json, pkgutil
import restwell
from restwell.errors import ConfigurationError
def walk(package, prefix):
    for one in pkgutil.iter_modules(package.__path__):
        if one.name.startswith("_") or one.name == "migrations":
            continue
        try:
            module = importlib.import_module(f"restwell.{prefix}{one.name}")
            if one.name != "auth":
                [getattr(module, name) for name in getattr(module, "__all__", ())]
            found[prefix + one.name] = ""
            if one.ispkg:
                walk(module, f"{prefix}{one.name}.")
        except ConfigurationError as error:
            found[prefix + one.name] = str(error)
found = {}
[getattr(restwell, name) for name in restwell.__all__]
walk(restwell, "")
print(json.dumps(found))
"""
    found = json.loads(run(core / "python", "-c", code, cwd=tmp_path, env={}).stdout)
    assert {"auth", "cache", "jobs", "settings", "testing", "web"} <= set(found)
    assert {name: fault.rpartition("pip install ")[2] for name, fault in found.items() if fault} == {
        name: f"'restwell[{extra}]'" for name, extra in NEED_AN_EXTRA.items()
    }


def test_an_application_runs_with_the_core_alone(
    core: Path, commands: Commands, environment: dict[str, str], tmp_path: Path
) -> None:
    """Breaks if the kit builds a part that needs an extra, as Passwords, for every application."""
    assert commands.run("migrate", cwd=tmp_path)[0] == 0
    assert "/v1/greetings/{name}" in commands.run("routes", cwd=tmp_path)[1]
    assert json.loads(commands.run("openapi", cwd=tmp_path)[1])["info"]["title"] == "core"
    with serve(tmp_path, core / "restwell", "serve", cwd=tmp_path, **environment) as served:
        answer = httpx.get(f"{served.url}/v1/greetings/ada")
        assert (answer.text, answer.headers["ratelimit-policy"]) == ("hello ada", '"greetings";q=100000;w=60')
        assert httpx.get(f"{served.url}/docs").status_code == 404
        assert httpx.get(f"{served.url}/openapi.json").status_code == 200
        assert httpx.post(f"{served.url}/v1/greetings/bob").status_code == 202
    assert "not served; pip install 'restwell[docs]'" in served.output
    worker = subprocess.Popen([core / "restwell", "worker"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    wait_until((tmp_path / "greeting.txt").exists, worker)
    worker.terminate()
    assert worker.wait(30) == 0
    assert (tmp_path / "greeting.txt").read_text() == "hello bob"


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("DATABASE_URL", "postgresql://user@host/name", "asyncpg is not installed: pip install 'restwell[postgresql]'"),
        ("REDIS_URL", "redis://host", "redis is not installed: pip install 'restwell[redis]'"),
        ("JOBS_URL", "redis://host", "redis is not installed: pip install 'restwell[redis]'"),
        ("JOBS_URL", "amqp://host", "aio_pika is not installed: pip install 'restwell[rabbitmq]'"),
        ("SMTP_URL", "smtps://host", "aiosmtplib is not installed: pip install 'restwell[mail]'"),
    ],
)
def test_each_command_names_the_missing_extra_of_a_setting_in_one_line(
    commands: Commands, tmp_path: Path, setting: str, value: str, line: str
) -> None:
    """Breaks if the setting is accepted: the library is then missing in a request or in a job."""
    for command in ("migrate", "serve", "worker", "routes"):
        code, _, stderr = commands.run(command, cwd=tmp_path, **{setting: value})
        assert (code, stderr) == (2, f"restwell: {setting}: {line}\n")


def test_the_settings_of_accounts_name_the_missing_extra(commands: Commands, tmp_path: Path) -> None:
    """Breaks if keys that cannot be read, or providers that cannot be called, are accepted."""
    line = "joserfc is not installed: pip install 'restwell[auth]'\n"
    for settings in (
        {"JWT_KEY_FILES": "code/core_app.py"},
        {"OAUTH_PROVIDERS": "google=https://id:secret@accounts.google.com"},
    ):
        code, _, stderr = commands.run("routes", cwd=tmp_path, **settings)
        assert (code, stderr.count("\n"), stderr.endswith(line)) == (2, 1, True)


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("from restwell.auth import Passwords", "restwell.auth.Passwords: argon2 is not installed: {auth}"),
        ("from restwell.auth import AccessTokens", "restwell.auth.AccessTokens: joserfc is not installed: {auth}"),
        ("from restwell.auth import new_totp_secret", "restwell.auth.new_totp_secret: pyotp is not installed: {auth}"),
        ("from restwell.auth.oauth import Providers", "restwell.auth.oauth: httpx is not installed: {auth}"),
        ("from restwell.email_addresses import EmailAddress", "restwell.email_addresses: email_validator {mail}"),
        ("from restwell.mail import Mail", "restwell.email_addresses: email_validator {mail}"),
        ("import restwell.testing", "restwell.testing: httpx {testing}"),
        ("from restwell.litestar import LitestarHost", "restwell.litestar: litestar {litestar}"),
        ("Restwell(Settings(), name='core').passwords", "restwell.auth.Passwords: argon2 is not installed: {auth}"),
        ("Restwell(Settings(), name='core').mailer", "restwell.email_addresses: email_validator {mail}"),
        ("Restwell(Settings(), name='core').secret_box", "restwell.auth.SecretBox: joserfc is not installed: {auth}"),
    ],
)
def test_an_application_that_imports_from_a_missing_extra_does_not_start_and_one_line_names_it(
    commands: Commands, tmp_path: Path, statement: str, line: str
) -> None:
    """Breaks if the import fails with ModuleNotFoundError, or only when a request needs it."""
    names = "from core_app import *\nfrom core_app import project\n"
    (tmp_path / "code/other.py").write_text(f"{names}{statement}\n")
    expected = line
    for extra in LIBRARIES:
        advice = f"pip install 'restwell[{extra}]'"
        expected = expected.replace(f"installed: {{{extra}}}", f"installed: {advice}")
        expected = expected.replace(f"{{{extra}}}", f"is not installed: {advice}")
    code, _, stderr = commands.run("routes", cwd=tmp_path, RESTWELL_APP="other:project")
    assert (code, stderr) == (2, f"restwell: {expected}\n")


@pytest.mark.parametrize("extra", sorted({*STARTS} - {"postgresql", "redis"}))
def test_each_extra_alone_is_enough_for_its_feature(extra: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Breaks if a library is missing in the extra, as pyotp, or if its modules need another extra."""
    start(extra, tmp_path, environment | SETTINGS.get(extra, {}))


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_the_extra_postgresql_alone_is_enough_for_postgres(
    empty_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    start("postgresql", tmp_path, environment | {"DATABASE_URL": empty_url})


def test_the_extra_redis_alone_is_enough_for_redis(redis_url: str, environment: dict[str, str], tmp_path: Path) -> None:
    start("redis", tmp_path, environment | {"REDIS_URL": redis_url, "JOBS_URL": redis_url})


def start(extra: str, folder: Path, environment: dict[str, str]) -> None:
    """Start the application with one extra, and use it."""
    programs = bare_environment(f"restwell[{extra}]")
    others = set().union(*LIBRARIES.values()) - LIBRARIES[extra] - BROUGHT.get(extra, set())
    assert LIBRARIES[extra] <= installed(programs)
    assert not others & installed(programs)
    code = f"""
import asyncio
from core_app import GreetingController, Restwell, project
from restwell.database import open_database
async def main():
    app = project.create_app(project.load_settings())
    kit = app.kit
    async with open_database(kit.settings.database.url.get_secret_value(), 1) as database:
        await app.migrations.upgrade(database)
    await kit.start()
    try:{STARTS[extra]}
    finally:
        await kit.close()
asyncio.run(main())
"""
    run(programs / "python", "-W", "error", "-c", code, cwd=folder, env=environment)


def test_the_extra_dev_alone_is_enough_for_the_development_server(environment: dict[str, str], tmp_path: Path) -> None:
    programs = bare_environment("restwell[dev]")
    with serve(tmp_path, programs / "restwell", "dev", cwd=tmp_path, **environment) as served:
        assert httpx.get(f"{served.url}/v1/greetings/ada").text == "hello ada"
    assert "docs    not served; pip install 'restwell[docs]'" in served.output
