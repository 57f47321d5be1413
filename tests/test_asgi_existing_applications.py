"""The code of docs/existing-applications.md, run with the real frameworks."""

import importlib
import logging
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from restwell.database import Migrations, open_database, query
from restwell.testing import finish_jobs, running
from servers import ROOT

PAGE = (ROOT / "docs/existing-applications.md").read_text()
MODULES = dict(re.findall(r"<!-- module: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
USERS = [UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"), UUID("0192f0c1-2a3b-7c4d-8e5f-60718293a4b6")]
FRAMEWORKS = ["with_fastapi", "with_starlette", "with_litestar"]


@pytest.fixture
async def page_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A folder with the modules of the page, and a database with one item."""
    url = f"sqlite:///{tmp_path / 'items.db'}"
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for variable, value in {"DATABASE_URL": url, "JWT_SECRET": "s" * 48, "RUNTIME_DIR": str(tmp_path / "run")}.items():
        monkeypatch.setenv(variable, value)
    async with open_database(url) as database:
        await Migrations(None).upgrade(database)
        await database.run(query("test.create", text("CREATE TABLE items (id INTEGER PRIMARY KEY, stock INTEGER)")))
        await database.run(query("test.item", text("INSERT INTO items VALUES (7, 100)")))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers  # Litestar has configured the logging of this process
    root.setLevel(level)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.usefixtures("page_folder")
async def test_an_existing_application_uses_every_part_of_the_kit(
    framework: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Breaks per framework when ``count_request`` counts by network only: the second user has no quota left."""
    app = importlib.import_module(framework).app
    tokens = [app.kit.access_tokens.issue(user, user) for user in USERS]

    async with running(app) as client:

        async def sell(token: str, key: str, path: str = "/items/7/sales") -> httpx.Response:
            return await client.post(path, headers={"authorization": f"Bearer {token}", "idempotency-key": key})

        first, second = await client.get("/items/7"), await client.get("/items/7")
        assert first.json() == second.json() == {"id": 7}
        assert "fwd=miss" in first.headers["cache-status"]
        assert "hit" in second.headers["cache-status"]

        sold, again = await sell(tokens[0], "a"), await sell(tokens[0], "a")
        assert (sold.status_code, sold.json()) == (201, {"id": 7, "stock": 99})
        assert again.content == sold.content
        assert "fwd=miss" in (await client.get("/items/7")).headers["cache-status"]
        await finish_jobs(app)
        assert capsys.readouterr().out.count("sold 7") == 1

        assert_problem(await sell(tokens[0], ""), 400, "idempotency_key_required")
        assert_problem(await sell(tokens[0], "b"), 429, "rate_limited")
        assert_problem(await sell(tokens[1], "b", "/items/8/sales"), 404, "not_found")
        for _ in range(3):
            assert_problem(await sell("forged", "c"), 401, "unauthorized")
        assert_problem(await sell("forged", "c"), 429, "rate_limited")


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.usefixtures("page_folder")
async def test_the_first_example_adds_the_cache_and_limits_to_an_unchanged_application() -> None:
    namespace: dict[str, Any] = {}
    exec(EXAMPLES[0], namespace)  # noqa: S102  # the code of the page
    async with running(namespace["app"]) as client:
        await client.get("/items/3")
        assert "hit" in (await client.get("/items/3")).headers["cache-status"]
        answers = [(await client.post("/login")).status_code for _ in range(6)]
    assert answers == [404] * 5 + [429]
