"""The code of docs/versioning.md."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from restwell.settings import Settings
from restwell.testing import running
from reverse_proxy import nginx
from servers import RESTWELL, ROOT, free_port, restwell, serve
from tiny.environment import tiny_environment

PAGE = (ROOT / "docs/versioning.md").read_text()
(CODE,) = re.findall(r"<!-- module: books -->\n```python\n(.*?)```", PAGE, re.DOTALL)
(PROXY,) = re.findall(r"<!-- test: nginx -->\n```nginx\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
async def client(migrated: Settings) -> AsyncIterator[httpx.AsyncClient]:
    module = ModuleType("books")
    exec(CODE, module.__dict__)  # noqa: S102  # the page of this repository
    async with running(module.create_app(migrated)) as connected:
        yield connected


async def test_the_page_makes_a_second_version(client: httpx.AsyncClient) -> None:
    old, new = {"title": "Emma", "price_cents": 900}, {"title": "Emma", "price": {"cents": 900}}
    assert (await client.get("/v1/books")).json() == {"items": [old], "next_cursor": None}
    assert (await client.get("/v2/books")).json() == {"data": [new], "next": None}
    for prefix, book in (("/v1", old), ("/v2", new)):
        added = await client.post(f"{prefix}/books", json=book)
        assert (added.status_code, added.json(), added.headers["location"]) == (201, book, f"{prefix}/books/Emma")


async def test_the_page_shows_what_clients_see(client: httpx.AsyncClient) -> None:
    old, new = [await client.get(f"{prefix}/books") for prefix in ("/v1", "/v2")]
    for name in ("deprecation", "sunset"):
        assert f"`{name.title()}: {old.headers[name]}`" in PAGE
    assert '</v2>; rel="successor-version"' in old.headers["link"]
    assert not {"deprecation", "sunset", "link"} & new.headers.keys()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[httpx.Client]:
    """The page's application behind the page's nginx."""
    project = "project = Project(name='books', settings=Settings, create_app=create_app)"
    (tmp_path / "books.py").write_text(f"from restwell import Project\n{CODE}\n{project}\n")
    given = tiny_environment(f"sqlite:///{tmp_path / 'books.db'}")
    own = {"RESTWELL_APP": "books:project", "PYTHONPATH": f"{given['PYTHONPATH']}:{tmp_path}"}
    environment = {**given, **own, "WORKERS": "1", "RUNTIME_DIR": str(tmp_path / "run")}
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        port, upstream = free_port(), served.url.rpartition(":")[2]
        proxy = PROXY.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        with nginx(tmp_path, int(upstream), of_http=proxy), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield client


@pytest.mark.integration
def test_a_date_in_a_header_selects_the_version(proxied: httpx.Client) -> None:
    """Breaks if a date that was never published gets some version."""
    for date, path, member in (
        ("2025-06-01", "/books?limit=1", "items"),
        ("2026-11-01", "/books", "data"),
        ("", "/books", "data"),
        ("2025-06-01", "/v2/books", "data"),
    ):
        answer = proxied.get(path, headers={"api-version": date})
        assert (answer.status_code, member in answer.json()) == (200, True), (date, path)
        assert "API-Version" in answer.headers.get_list("vary", split_commas=True)
        assert ("sunset" in answer.headers) is (member == "items")
    assert proxied.get("/books", headers={"api-version": "2026-10-31"}).status_code == 400
    added = proxied.post("/books", json={"title": "Emma", "price_cents": 900}, headers={"api-version": "2025-06-01"})
    assert (added.status_code, added.headers["location"]) == (201, "/v1/books/Emma")
