"""The Python client of an application: strictly typed, formatted, the same at each run, and it works."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

import accounts_app
from accounts_app import PASSWORD
from contract_apps import migrate
from generated_client import decoded, generated_client
from restwell import Restwell
from restwell._client._folder import MARK, write_files
from restwell._client._python import write_python
from restwell._client._reader import read_api
from restwell.auth import Passwords
from restwell.settings import DatabaseSettings, JwtSettings, RequestSettings, Settings
from restwell.testing import running
from restwell.web import Version
from tiny.app import authenticate
from tiny.kinds import KindController

Json = dict[str, Any]
TOOLS = Path(sys.executable).parent
SETTINGS = Settings()
ACCOUNTS = decoded(accounts_app.create_app(SETTINGS).openapi)
KINDS = decoded(
    Restwell(SETTINGS, name="kinds").app([Version("/v1", [KindController])], authenticate=authenticate).openapi
)
REF = "#/components/schemas/"


def json_body(schema: Json) -> Json:
    return {"description": "", "content": {"application/json": {"schema": schema}}}


def query(name: str, kind: str = "string", **more: Any) -> Json:
    return {"name": name, "in": "query", "schema": {"type": kind}, **more}


TEXT = {"type": "string"}
PATH = {"name": "from", "in": "path", "required": True, "schema": {"type": "integer"}}
NULLABLE = {"anyOf": [TEXT, {"type": "null"}]}
LISTING = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": TEXT}, "next": NULLABLE},
    "required": ["data", "next"],
}
COUNTED = {"type": "object", "properties": {"items": {"type": "array"}, "has_more": {"type": "boolean"}}}
COUNTED["required"] = list(COUNTED["properties"])
STRANGE: Json = {
    "openapi": "3.1.0",
    "info": {"title": 'The "best"', "description": 'Ends with "quotes"'},
    "paths": {
        "/counted": {
            "get": {
                "operationId": "list_counted",
                "parameters": [query("offset", "integer")],
                "responses": {"200": json_body({"$ref": REF + "counted"})},
            }
        },
        '/evil}"{evil()}/{from}\\': {
            "get": {"operationId": "é²", "summary": '\\""""evil()', "parameters": [PATH], "responses": {}}
        },
        "/list/{from}": {
            "get": {
                "operationId": "list",
                "description": 'Three """ quotes, a backslash \\ and\n\n    an indented line.\t\n',
                "deprecated": True,
                "parameters": [
                    PATH,
                    query("self", required=True),
                    query("page[offset]", "integer"),
                    query("offset", "integer"),
                    query("data"),
                    query("values", "array"),
                    {"name": "X-Any", "in": "header", "schema": {}},
                ],
                "responses": {"200": json_body({"$ref": REF + "listing"})},
            },
            "post": {
                "operationId": "list-again",
                "parameters": [PATH],
                "requestBody": {"content": {"text/plain": {"schema": TEXT}}},
                "responses": {
                    "200": json_body({"anyOf": [{"$ref": REF + "list"}, {"$ref": REF + "listing"}, {"type": "null"}]}),
                    "201": {"description": "", "content": {"image/png": {"schema": {"type": "string"}}}},
                },
            },
            "put": {
                "operationId": "replace_something_with_a_name_of_quite_a_remarkable_length_for_python",
                "parameters": [PATH],
                "requestBody": {"required": True, "content": {"image/png": {"schema": {}}}},
                "responses": {
                    "200": json_body({"$ref": REF + "AnObjectWithANameOfQuiteARemarkableLengthForPython"}),
                    "404": {
                        "description": "",
                        "content": {
                            "application/problem+json": {
                                "schema": {
                                    "$ref": REF + "list",
                                    "properties": {"code": {"enum": ["api_error", "not found", "not_found"]}},
                                }
                            }
                        },
                    },
                },
            },
        },
    },
    "components": {
        "schemas": {
            "listing": LISTING,
            "counted": COUNTED,
            "list": {
                "type": "object",
                "properties": {
                    **{
                        name: {"type": "string", "format": name} for name in ("date", "uuid", "decimal", "byte", "time")
                    },
                    **dict.fromkeys(("from", "import", "date-time", "date_time", "1st", "_private"), TEXT),
                    "list": {"type": "array", "items": {"$ref": REF + "list"}},
                    "tree": {"$ref": REF + "tree"},
                    "pet": {
                        "anyOf": [{"$ref": REF + "Cat"}, {"$ref": REF + "Dog"}],
                        "discriminator": {"propertyName": "kind"},
                    },
                    "either": {"anyOf": [{"$ref": REF + "Cat"}, {"$ref": REF + "listing"}]},
                    "one": {"enum": ["a", "b"], "description": 'Ends with a "quote"'},
                    "mixed": {"enum": ["a", 1]},
                    "number": {"anyOf": [{"type": "number"}, TEXT, {"type": "null"}]},
                    "pair": {"type": "array", "prefixItems": [TEXT, {"type": "integer"}]},
                    "a_field_with_a_name_of_quite_a_remarkable_length": {
                        "anyOf": [{"type": "array", "items": {"type": "integer"}}, TEXT, {"type": "null"}]
                    },
                },
                "required": ["from", "date"],
            },
            "tree": {"anyOf": [TEXT, {"type": "array", "items": {"$ref": REF + "tree"}}]},
            "AnObjectWithANameOfQuiteARemarkableLengthForPython": {"type": "object", "properties": {}},
            **{
                kind: {"type": "object", "properties": {"kind": {"const": kind}, "name": TEXT}, "required": ["kind"]}
                for kind in ("Cat", "Dog")
            },
            "Sort": {"enum": ["-name", "name", "1st", "it's", 'a "b"', "", "class"], "description": "A\nB"},
        }
    },
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    for name, document in (("accounts", ACCOUNTS), ("kinds", KINDS), ("strange", STRANGE)):
        write_files(folder / f"{name}_client", write_python(read_api(document)))
    return folder


def run(folder: Path, tool: str, *arguments: str) -> None:
    done = subprocess.run([TOOLS / tool, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
def test_the_clients_have_strict_types(written: Path) -> None:
    """Breaks when a field with the name of a type, as ``date: date | None = None``, keeps it."""
    run(written, "mypy", "--strict", "--no-error-summary", *(each.name for each in written.glob("*_client")))


@pytest.mark.integration
@pytest.mark.parametrize("chars", ["88", "120"])
def test_the_clients_are_formatted_whatever_the_line_length(written: Path, chars: str) -> None:
    run(written, "ruff", "format", "--isolated", "--no-cache", "--line-length", chars, "--diff", ".")


def test_the_same_document_gives_the_same_bytes(written: Path) -> None:
    """Breaks when the codes of the errors are in the order of a set."""
    for name, document in (("accounts", ACCOUNTS), ("strange", STRANGE)):
        files = write_python(read_api(document))
        found = {path.name: path.read_text() for path in (written / f"{name}_client").iterdir() if path.is_file()}
        assert found == files
        assert all(MARK in content.splitlines()[0] for content in files.values())


@pytest.mark.slow
def test_the_clients_need_httpx_and_msgspec_only(written: Path) -> None:
    """Breaks when the runtime imports a module of the kit."""
    third_party = "{name.partition('.')[0] for name in sys.modules} & {'restwell', 'pydantic', 'sqlalchemy'}"
    script = f"import sys, accounts_client as api; api.Client('http://a'); assert not {third_party}"
    run(written, "python", "-c", script)


@pytest.mark.slow
def test_writing_a_client_needs_no_httpx(tmp_path: Path) -> None:
    """Breaks when the runtime is imported: httpx is in extras, and each command would fail without them."""
    run(tmp_path, "python", "-c", "import sys, restwell._cli.client; assert 'httpx' not in sys.modules")


def test_strange_names_and_types_work(tmp_path: Path) -> None:
    client = generated_client(tmp_path, STRANGE)
    models, errors = client.models, client.errors
    assert models.Sort("-name") is models.Sort.MINUS_NAME
    assert models.Sort.VALUE_1ST == "1st"
    assert issubclass(errors.ApiError_, client.ApiError)
    assert errors.BY_CODE["not_found"] is errors.NotFound_2
    assert models.Cat(name="Tom") == decode({"kind": "Cat", "name": "Tom"}, models.Cat)
    found = decode(
        {"from": "a", "date": "2026-01-01", "pet": {"kind": "Dog"}, "either": {"x": 1}, "one": "z"}, models.List
    )
    assert (found.from_, found.date.year, found.either, found.one) == ("a", 2026, {"x": 1}, "z")
    assert isinstance(found.pet, models.Dog)


def decode(value: object, kind: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value), type=kind)


async def test_no_text_of_a_document_becomes_code(tmp_path: Path) -> None:
    """Breaks when the braces or the quotes of a path are written as they are."""
    client = generated_client(tmp_path, STRANGE)
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(204)

    async with client.Client("http://api.test", transport=httpx.MockTransport(answer)) as api:
        with pytest.raises(client.UnexpectedResponse):
            await api.x_(1)
        assert api.x_.__doc__ == '\\""""evil()'
    assert sent == ['/evil}"{evil()}/1\\']


async def test_pages_with_an_offset_end(tmp_path: Path) -> None:
    """Breaks when the offset is not counted: the second page would be the first one again."""
    client = generated_client(tmp_path, STRANGE)
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.params.get("offset", ""))
        if request.url.path == "/counted":
            return httpx.Response(200, json={"items": [1, 2], "has_more": len(sent) < 5})
        following = "/list/1?self=a&offset=2" if len(sent) == 1 else None
        return httpx.Response(200, json={"data": ["a", "b"], "next": following})

    async with client.Client("http://api.test", transport=httpx.MockTransport(answer)) as api:
        assert [item async for item in api.iterate_list(1, self_="a")] == ["a", "b"] * 2
        assert [item async for item in api.iterate_counted()] == [1, 2] * 3
    assert sent == ["", "2", "", "2", "4"]


@pytest.fixture
async def api(runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A client of the application of accounts, which runs in this process."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 8, "passes": 1})
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{tmp_path}/app.db")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        runtime_dir=runtime_dir,
        request=RequestSettings(timeout_seconds=30),  # for a busy machine
    )
    app = accounts_app.create_app(settings)
    await migrate(app)
    package = generated_client(tmp_path, ACCOUNTS)
    async with running(app), package.Client("http://app.test", transport=httpx.ASGITransport(app)) as client:
        client.package = package
        yield client


async def test_a_user_registers_signs_in_and_stays_signed_in(api: Any) -> None:
    """Breaks when a token is not renewed, or once for each of the concurrent calls."""
    models, errors, tokens = api.package.models, api.package.errors, api.package.Tokens
    grace = await api.register_user(
        models.RegistrationRequest(email="grace@app.example", password=PASSWORD, name="Grace")
    )
    with pytest.raises(errors.InvalidCredentials):
        await api.sign_in(models.SignInRequest(email=grace.email, password="a wrong password"))
    signed_in = await api.sign_in(models.SignInRequest(email=grace.email, password=PASSWORD))
    assert isinstance(signed_in, models.BearerTokens)
    assert await api.get_own_account() == grace
    api._tokens = tokens("expired", signed_in.refresh_token)
    assert await asyncio.gather(*(api.get_own_account() for _ in range(5))) == [grace] * 5
    assert len((await api.list_sessions()).items) == 1
    renamed = await api.update_own_account(models.AccountUpdateRequest(name="Hopper"))
    assert (renamed.name, renamed.email) == ("Hopper", grace.email)
    with pytest.raises(errors.Invalid) as refused:
        await api.update_own_account(models.AccountUpdateRequest(name=""))
    assert [each.path for each in refused.value.errors] == ["$.name"]
