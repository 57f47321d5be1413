"""``restwell generate``: what it writes passes the checks and tests of the project with no edit."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from servers import ROOT, restwell

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
RESOURCES = int(os.environ.get("RESOURCES", "2"))
"""How many random resources a project gets: ten in ``make test-generated``, else two, and none with accounts."""
IS_LONG = RESOURCES > 2
SEED = os.environ.get("SEED", "")
"""Draws them. Empty: the same in each run."""
NAMES = [
    *("order", "group", "key", "day", "city", "box", "purchase_order", "customer", "check", "offset", "limit", "set"),
    *(
        "tax",
        "address",
        "window",
        "grant",
        "union",
        "level",
        "default",
        "index_card",
        "colour",
        "shipment",
        "user_agent",
    ),
]
"""Some are words of SQL, and some have an irregular plural."""
CONTRACT = """
import os

from bookshop.app import create_app
from restwell.settings import Settings
from restwell.testing import ApiClient, Caller, access_table, check_access, contract_tests, running

app = create_app(Settings.load(os.environ))


async def test_only_the_callers_of_the_table_reach_a_route():
    async with running(app) as client:
        callers = [
            Caller(await ApiClient(client).sign_in(f"{role}@example.com", "three other words"), role=role)
            for role in os.environ["ROLES"].split()
        ]
        await check_access(app, access_table(app), callers)


def test_every_response_fits_the_document():
    contract_tests(app, examples=3)
"""


def run(folder: Path, *command: str | Path, **environment: str) -> str:
    shared = {"MYPY_CACHE_DIR": str(folder.parents[1] / "mypy")}  # the second project uses the types of the kit again
    environment = {**os.environ, **shared, **environment}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands_of_the_page() -> list[list[str]]:
    text = (ROOT / "docs/generate.md").read_text()
    return [shlex.split(line) for line in re.findall(r"^restwell (generate .+)$", text, re.MULTILINE)]


def random_resource(random: Random, name: str, tables: list[str]) -> list[str]:
    """The arguments of a command. ``tables`` are those that it may refer to, with ``name:ref:table``."""
    low = random.randint(-9, 9)
    text = random.randint(0, 40)
    types = [
        random.choice(["text", f"text:{text}..{text + random.randint(0, 9)}", f"text:..{text}"]),
        random.choice(["int", f"int:{low}..{low + random.randint(0, 9)}", f"int:{low}..", f"int:..{low * 10**9}"]),
        random.choice(["float", f"float:{low / 4}..", f"float:..{low / 4}", f"float:{low}..{low}"]),
        random.choice(["decimal:10,2", "decimal:18,6:0..", "decimal:2,1"]),
        *("bool", "date", "datetime", "uuid", random.choice(["enum:on,off", "enum:only-one"])),
        *(f"ref:{table}" for table in random.sample(tables, min(2, len(tables)))),
    ]
    chosen = random.sample(types, random.randint(1, len(types)))
    names = random.sample([*NAMES[:-2], "select", "from_date", "x", "note2", "e_mail"], len(chosen))
    fields = [f"{field}:{kind}{random.choice(['', '?'])}" for field, kind in zip(names, chosen, strict=True)]
    return ["generate", "resource", name, *dict.fromkeys(fields)]


def texts(project: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in project.rglob("*.py")}


@pytest.fixture(scope="module", params=["--no-accounts", "--accounts"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with what the page generates, and with random resources."""
    folder = tmp_path_factory.mktemp("generated")
    restwell("new", "bookshop", request.param, cwd=folder).check_returncode()
    random = Random(SEED + request.param)  # noqa: S311  # no secret
    commands = commands_of_the_page()
    assert [command[1] for command in commands] == ["resource", "resource", "job", "migration"]
    tables = ["notes", "products", "reviews"]
    count = RESOURCES if IS_LONG or request.param == "--no-accounts" else 0
    commands += [random_resource(random, name, tables) for name in random.sample(NAMES, count)]
    for command in commands:
        done = restwell(*command, cwd=folder / "bookshop")
        assert done.returncode == 0, (command, done.stderr)
    (folder / "bookshop/commands.txt").write_text("\n".join(map(shlex.join, commands)))
    return folder / "bookshop"


def test_what_is_generated_passes_the_checks_and_tests_of_the_project(project: Path) -> None:
    """Fails if the migration lacks a column of the models, and if a replaced resource is stored as it was."""
    assert ", 0 findings" in run(project, "make", "test", f"BIN={BIN}")


def test_repeated_commands_change_nothing(project: Path) -> None:
    """Fails if the application gets the part a second time."""
    before = texts(project)
    for command in (project / "commands.txt").read_text().splitlines():
        done = restwell(*shlex.split(command), cwd=project)
        assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout + done.stderr
    assert texts(project) == before


def test_what_is_generated_fits_its_contract_on_both_databases(project: Path, empty_url: str, tmp_path: Path) -> None:
    """Fails if a reference has no index, if its error is not in the document, and if ``explain`` cannot use a date."""
    environment = {
        "APP_ENV": "test",
        "DATABASE_URL": empty_url,
        "JWT_SECRET": "s" * 48,
        "RATE_LIMIT_SCALE": "0",
        "ROLES": "",
        "RUNTIME_DIR": str(tmp_path / "run"),
        "SMTP_URL": f"folder:{tmp_path}/mail",
    }
    for command in (["migrate"], ["migrate", "--check"], ["explain"]):
        done = restwell(*command, cwd=project, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
    has_accounts = "Accounts" in (project / "bookshop/app.py").read_text()
    if has_accounts:
        environment["ROLES"] = "admin member"
        for role in environment["ROLES"].split():
            arguments = ("users", "add", f"{role}@example.com", "--role", role)
            done = restwell(*arguments, cwd=project, stdin="three other words\n", **environment)
            assert done.returncode == 0, done.stderr
    (tmp_path / "test_contract.py").write_text(CONTRACT)
    is_whole = IS_LONG if empty_url.startswith("sqlite") else not has_accounts  # accounts have many operations
    chosen = [] if is_whole else ["-k", "callers"]
    options = ("-q", "-p", "no:cacheprovider", "-c", project / "pyproject.toml", "--rootdir", project)
    run(project, BIN / "pytest", *options, tmp_path / "test_contract.py", *chosen, **environment)


def test_a_changed_file_is_never_overwritten(tmp_path: Path) -> None:
    """Fails if only the changed file is left out, and the others are written."""
    restwell("new", "bookshop", cwd=tmp_path).check_returncode()
    project = tmp_path / "bookshop"
    command = ("generate", "resource", "review", "body:text", "rating:int:1..5")
    written = restwell(*command, cwd=project)
    assert written.stdout.splitlines() == [
        "bookshop/migrations/versions/0002_reviews.py",
        *(f"bookshop/reviews/{name}.py" for name in ("__init__", "models", "queries", "routes", "service")),
        "tests/test_reviews.py",
        "bookshop/app.py",
    ]
    service, routes = (project / f"bookshop/reviews/{name}.py" for name in ("service", "routes"))
    service.write_text("# mine\n" + service.read_text())
    (project / "tests/test_reviews.py").unlink()
    before = texts(project)
    refused = restwell(*command, cwd=project)
    assert refused.stderr == (
        "restwell: bookshop/reviews/service.py has another text, so nothing is written; choose another name\n"
    )
    assert (refused.returncode, texts(project)) == (2, before)
    assert "signed_in" not in routes.read_text()
    for arguments, fault in (
        (["resource", "note", "body:text"], "bookshop/notes.py exists already; choose another name"),
        (["resource", "job", "body:text"], "the table jobs exists already; choose another name"),
        (["resource", "setting", "body:text"], "bookshop/app.py uses the name settings already; choose another name"),
        (["resource", "page", "body:text"], "page is a name in the generated code itself; choose another"),
        (["resource", "Review", "body:text"], "Review is no name: a resource is a noun in the singular"),
        (["resource", "book"], "a resource has at least one field: add one, such as body:text"),
        (["resource", "book", "shop:ref"], "shop:ref: there is no table shops; first restwell generate resource shop"),
        (["job", "reviews"], "bookshop/reviews exists already; choose another name"),
        (["job", "do-it"], "do-it is no name: a job is what it does, such as send_digest"),
        (["migration", "..."], "the title says what the migration does"),
    ):
        refused = restwell("generate", *arguments, cwd=project)
        assert (refused.returncode, fault in refused.stderr) == (2, True), refused.stderr
    assert texts(project) == before


def test_a_project_of_another_form_is_told_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("from restwell import Restwell\napp = Restwell().app([])\n")
    refused = restwell("generate", "job", "send_digest", cwd=tmp_path, RESTWELL_APP="hello:app")
    assert refused.stderr == (
        "restwell: generate needs a package with app.py, migrations and schema.py, as restwell new makes it\n"
    )
