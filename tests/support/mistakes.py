"""Mistakes of people who use the kit, each with the place and the cure that they must be told."""

import textwrap
from collections.abc import Mapping
from typing import Final, NamedTuple

HEAD: Final = """
from collections.abc import AsyncIterator
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from restwell import Project, Restwell
from restwell.auth import Actor
from restwell.database import Database, param, query
from restwell.jobs import JobContext, Jobs, job
from restwell.settings import Settings
from restwell.web import Controller, Feature, get, post, public, signed_in

notes = Table("notes", MetaData(), Column("id", Integer, primary_key=True), Column("text", Text, nullable=False))


class Note(Struct):
    id: int
    text: str


add = query("notes.add", insert(notes).values(text=param("text")))
find = query("notes.find", select(notes.c.id, notes.c.text).where(notes.c.id == param("id")), into=Note)
"""
TAIL: Final = """

def create_app(settings):
    return Restwell(settings, name="bookshop").app(parts)


project = Project(name="bookshop", settings=Settings, create_app=create_app)
"""


class Mistake(NamedTuple):
    """``code`` is that of the application, or follows HEAD and defines ``parts``. ``told``: the place, and the cure."""

    name: str
    code: str
    told: tuple[str, ...]
    command: tuple[str, ...] = ("routes",)
    environment: Mapping[str, str] = {}
    files: Mapping[str, str] = {}

    @property
    def module(self) -> str:
        code = textwrap.dedent(self.code)
        return code if "Project(" in code else f"{HEAD}\n\n{code}\n{TAIL}"


def route(body: str = "return 1", *, how: str = "get('/books')", returns: str = "int", takes: str = "") -> str:
    return f"@{how}\nasync def read({takes}) -> {returns}:\n    {body}\n\n\nparts = [read]"


def project(create_app: str, *arguments: str) -> str:
    return f"{HEAD}\n\n{create_app}\n\n\nproject = Project(name='bookshop', {', '.join(arguments)})\n"


def migration(code: str, name: str = "0001_books") -> dict[str, str]:
    head = '"""Books (pre-deploy)."""\nfrom alembic import op\nimport sqlalchemy as sa\n'
    head += 'revision = "0001"\ndown_revision = None\n'
    return {f"migrations/versions/{name}.py": f"{head}{code}\n"}


PLAIN: Final = "parts = []"
MIGRATED: Final = project(
    "from pathlib import Path\n\n\ndef create_app(settings):\n"
    "    kit = Restwell(settings, name='bookshop')\n"
    "    return kit.app([], migrations=Path(__file__).with_name('migrations'))",
    "settings=Settings",
    "create_app=create_app",
)
BOTH: Final = ("settings=Settings", "create_app=create_app")
SERVICES: Final = "class A:\n    def __init__(self, b: 'B'): ...\n\n\nclass B:\n    def __init__(self, a: A): ...\n\n\n"
SMALL: Final = "class Small(Struct):\n    id: int\n\n\n"
READ: Final = "read (GET /books)"

AT_START: Final = [
    Mistake(
        "a job without parentheses",
        "@job\nasync def send(context: JobContext) -> None: ...\n\n\nparts = []",
        ("bookshop.py, line", "send", "write @job()"),
    ),
    # routes and their types
    Mistake(
        "no type of the result", "@get('/books')\nasync def read(): ...\n\n\nparts = [read]", (READ, "annotate it")
    ),
    Mistake("not async", "@get('/books')\ndef read() -> int: ...", ("bookshop.py, line", "use async def")),
    Mistake("a generator", route("yield '1'", returns="AsyncIterator[str]"), ("read", "return a Stream")),
    Mistake("events", route(returns="AsyncIterator[str]"), (READ, "return a Stream")),
    Mistake(
        "a response of another framework", f"class Other: ...\n\n\n{route(returns='Other')}", (READ, "host= of kit.app")
    ),
    Mistake("a table as a result", route(returns="Table"), (READ, "a Struct")),
    Mistake("an unknown annotation", route(returns="'Missing'"), (READ, "needs an import")),
    Mistake("no parentheses", route(how="get"), ("bookshop.py, line", "write @get()")),
    Mistake("no decorator", "async def read() -> int: ...\n\n\nparts = [read]", ("read", "handler with @get")),
    Mistake("an instance", "class Books(Controller): ...\n\n\nparts = [Books()]", ("Books", "pass the class Books")),
    Mistake("no list", route().replace("[read]", "read"), ("bookshop.py, line", "takes a list")),
    Mistake("a path without a slash", route(how="get('books')"), ("GET books", "must be a path")),
    Mistake("a route twice", route() + "\nparts = [read, read]", ("GET /books", "remove one")),
    Mistake("a path parameter", route(how="get('/books/{id}')"), ("read (GET /books/{id})", "needs a parameter id")),
    Mistake("a body of a GET", route(takes="data: Note"), (READ, "only POST, PUT and PATCH")),
    Mistake("a parameter without a type", route(takes="page"), (READ, "annotate it")),
    Mistake(
        "an unknown query",
        route(how="get('/books', query_budget={'notes.finds': 2})"),
        (READ, "did you mean notes.find?"),
    ),
    Mistake("an unknown tag", route(how="get('/books', cache=public(ttl_seconds=1, tags=['b:{id}']))"), (READ, "id")),
    Mistake("no rate", route(how="get('/books', rate_limit='5/60')"), ("GET /books", "must be a Rate")),
    Mistake(
        "an error of Python", route(how="get('/books', raises=[ValueError])"), ("GET /books", "subclasses of AppError")
    ),
    # guards and services
    Mistake(
        "a guard without authentication", route(how="get('/books', guards=[signed_in])"), (READ, "pass authenticate=")
    ),
    Mistake("an actor without a guard", route(takes="actor: Actor"), (READ, "add guards=[signed_in]")),
    Mistake(
        "a guard as text",
        route(how="get('/books', guards=['admin'])"),
        ("GET /books", "async functions such as signed_in"),
    ),
    Mistake(
        "no service", f"class Stock: ...\n\n\n{route(takes='stock: Stock')}", (READ, "to the services of a Feature")
    ),
    Mistake("a circle", f"{SERVICES}parts = [Feature(services=[A, B])]", ("A needs B", "a third service")),
    Mistake(
        "untyped", "class A:\n    def __init__(self, b): ...\n\n\nparts = [Feature(services=[A])]", ("b", "annotate it")
    ),
    # queries and jobs
    Mistake("columns that are lost", f"{SMALL}query('a.b', select(notes), into=Small)", ("query a.b", "add the field")),
    Mistake("columns that are missing", "query('a.b', select(notes.c.id), into=Note)", ("query a.b", "select it")),
    Mistake(
        "a scalar of two columns", "query('a.b', select(notes), into=int)", ("query a.b", "use into= with a Struct")
    ),
    Mistake("SQL as text", "query('a.b', 'SELECT 1', into=int)", ("query a.b", "text(...)")),
    Mistake("no row type", "query('a.b', select(notes), into=5)", ("query a.b", "must be a type")),
    Mistake("a job without its context", "@job()\nasync def send(text: str) -> None: ...", ("job send", "JobContext")),
    Mistake(
        "a cron expression", "@job(cron='daily')\nasync def a(c: JobContext) -> None: ...", ("'daily'", "five fields")
    ),
    # the application
    Mistake("no name", PLAIN, ("RESTWELL_APP", "[tool.restwell]"), environment={"RESTWELL_APP": ""}),
    Mistake(
        "a wrong module", PLAIN, ("bookshp", "mean bookshop:project?"), environment={"RESTWELL_APP": "bookshp:project"}
    ),
    Mistake(
        "a wrong object", PLAIN, ("projct", "mean bookshop:project?"), environment={"RESTWELL_APP": "bookshop:projct"}
    ),
    Mistake(
        "a file", PLAIN, ("bookshop.py", "mean bookshop:project?"), environment={"RESTWELL_APP": "bookshop.py:project"}
    ),
    Mistake("a module", PLAIN, ("module:name", "mean bookshop:project?"), environment={"RESTWELL_APP": "bookshop"}),
    Mistake("no project", PLAIN, ("notes", "mean bookshop:project?"), environment={"RESTWELL_APP": "bookshop:notes"}),
    Mistake("a missing library", "import nothing", ("bookshop.py, line", "No module named 'nothing'")),
    Mistake(
        "an import of another file",
        "import third",
        ("third.py, line 2", "ValueError"),
        files={"third.py": "\nint('x')"},
    ),
    Mistake("syntax", "def x(:", ("bookshop.py, line", "SyntaxError")),
    Mistake("indentation", "def x():\nreturn 1", ("bookshop.py, line", "IndentationError")),
    Mistake("no result", project("def create_app(settings): ...", *BOTH), ("bookshop.py, line", "kit.app(...)")),
    Mistake(
        "no argument", project("def create_app(): ...", *BOTH), ("bookshop.py, line", "takes 0 positional arguments")
    ),
    Mistake("async", project("async def create_app(settings): ...", *BOTH), ("bookshop.py, line", "without async")),
    Mistake(
        "an instance of the settings",
        project("", "settings=Settings()", "create_app=print"),
        ("bookshop.py, line", "class"),
    ),
    # settings and addresses
    Mistake("another database", PLAIN, ("DATABASE_URL", "postgresql://"), environment={"DATABASE_URL": "mysql://a/b"}),
    Mistake("a port", PLAIN, ("PORT", "less than or equal to 65535"), environment={"PORT": "99999"}),
    Mistake("a key", PLAIN, ("JWT_KEY_FILES:", "correct the path"), environment={"JWT_KEY_FILES": "nothing.pem"}),
    Mistake("a line of .env", PLAIN, (".env, line 2", "NAME=value"), files={".env": "PORT=1\nWORKERS: 5\n"}),
    Mistake(
        "pyproject.toml",
        PLAIN,
        ("pyproject.toml", "TOML"),
        files={"pyproject.toml": "[tool"},
        environment={"RESTWELL_APP": ""},
    ),
    Mistake("a host", PLAIN, ("host.invalid", "set HOST"), ("serve",), {"HOST": "host.invalid"}),
    Mistake("a port in use", PLAIN, ("127.0.0.1:{port}", "PORT="), ("serve",), {"PORT": "{port}"}),
    Mistake("a folder as a file", PLAIN, ("RUNTIME_DIR", "writable"), ("serve",), {"RUNTIME_DIR": "/dev/null/x"}),
    Mistake(
        "a database that is a text",
        PLAIN,
        ("a.db", "must name a database file"),
        ("migrate",),
        {"DATABASE_URL": "sqlite:///a.db"},
        {"a.db": "a text " * 1000},
    ),
    Mistake(
        "no database server",
        PLAIN,
        ("127.0.0.1:1", "start the server"),
        ("migrate",),
        {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"},
    ),
    Mistake("production", PLAIN, ("APP_URL", "https://", "JWT_SECRET"), ("dev",), {"APP_ENV": "production"}),
    # migrations and commands
    Mistake("pending migrations", PLAIN, ("revision none", "run restwell migrate"), ("serve",)),
    Mistake("pending for a worker", PLAIN, ("revision none", "run restwell migrate"), ("worker",)),
    Mistake("no folder", MIGRATED, ("migrations/versions", "create it"), ("migrate",)),
    Mistake(
        "a name of Alembic",
        MIGRATED,
        ("ae10_books.py", "rename it to 0001"),
        ("migrate",),
        {},
        migration("", "ae10_books"),
    ),
    Mistake("no upgrade", MIGRATED, ("0001_books.py", "no function upgrade"), ("migrate",), {}, migration("x = 1")),
    Mistake(
        "syntax of a migration", MIGRATED, ("0001_books.py, line 6", "syntax"), ("migrate",), {}, migration("def x(:")
    ),
    Mistake(
        "SQL of a migration",
        MIGRATED,
        ("0001_books", "TABEL"),
        ("migrate",),
        {},
        migration("def upgrade():\n    op.execute('CREATE TABEL x')"),
    ),
    Mistake(
        "a column that changes",
        MIGRATED,
        ("0001_books", "add a new column"),
        ("migrate",),
        {},
        migration(
            "def upgrade():\n    op.execute('CREATE TABLE x (a)')\n    op.alter_column('x', 'a', type_=sa.Text())"
        ),
    ),
    Mistake("a command", PLAIN, ("migrat", "Did you mean 'migrate'?"), ("migrat",)),
    Mistake("an option", PLAIN, ("--chek", "--check"), ("migrate", "--chek")),
    Mistake("no demo data", PLAIN, ("bookshop", "seed="), ("seed",)),
    Mistake("a version", PLAIN, ("/v9", "leave the option out"), ("openapi", "--version", "/v9")),
]

TX: Final = "async with database.transaction() as tx:\n        await tx.run(add, text='a')\n"
JOB: Final = "@job()\nasync def send(context: JobContext, text: str) -> None: ...\n\n\n"
ENQUEUE: Final = "async with database.transaction() as tx:\n        await jobs.enqueue(tx, send, {})\n    return 1"
TWICE: Final = "post('/books', query_budget={'notes.add': 2})"
POST: Final = "post('/books')"
DATABASE: Final = "database: Database"


def enqueuing(arguments: str, parts: str) -> str:
    body = ENQUEUE.format(arguments)
    return f"{JOB}{route(body, how=POST, takes=f'{DATABASE}, jobs: Jobs')}\nparts = {parts}"


AT_A_REQUEST: Final = [
    Mistake(
        "a wrong argument",
        route("return await database.all(find, i=1)", takes=DATABASE, returns="list[Note]"),
        ("query notes.find", "needs the argument 'id'"),
    ),
    Mistake(
        "no row",
        route("return await database.one(find, id=7)", takes=DATABASE, returns="Note"),
        ("notes.find", "use find"),
    ),
    Mistake(
        "no await",
        route("return database.all(find, id=7)", takes=DATABASE, returns="list[Note]"),
        (READ, "write await"),
    ),
    Mistake(
        "no return", route("await database.all(find, id=7)", takes=DATABASE, returns="Note"), (READ, "None", "NotFound")
    ),
    Mistake("no list", route("return None", returns="list[Note]"), (READ, "None and declares list", "return one")),
    Mistake("no JSON", route("return notes", returns="Any"), (READ, "Table", "use a Struct")),
    Mistake(
        "a write outside of its transaction",
        route(f"{TX}        await database.run(add, text='b')\n    return 1", how=TWICE, takes=DATABASE),
        ("own task", "tx.run"),
    ),
    Mistake(
        "a transaction in a transaction",
        route(f"{TX}        async with database.transaction():\n            return 1", how=POST, takes=DATABASE),
        ("own task", "ambient=True"),
    ),
    Mistake(
        "a transaction that has ended",
        route(f"{TX}    await tx.run(add, text='b')\n    return 1", how=TWICE, takes=DATABASE),
        ("the transaction has ended", "inside its async with block"),
    ),
    Mistake(
        "no table",
        route("return await database.all(find, id=1)", takes=DATABASE, returns="list[Note]"),
        ("notes", "run restwell migrate"),
    ),
    Mistake(
        "no table of jobs",
        enqueuing("text='a'", "[Feature(controllers=[read], jobs=[send])]"),
        ("jobs", "run restwell migrate"),
    ),
    Mistake("a job that is not registered", enqueuing("text='a'", "[read]"), ("job send", "add it to jobs=")),
    Mistake(
        "a wrong argument of a job",
        enqueuing("txt='a'", "[Feature(controllers=[read], jobs=[send])]"),
        ("job send", "txt"),
    ),
    Mistake(
        "an argument that is no JSON",
        enqueuing("text=object()", "[Feature(controllers=[read], jobs=[send])]"),
        ("job send", "object"),
    ),
]
