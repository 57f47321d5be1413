"""The documentation pages are served without a CDN, with a strict Content-Security-Policy."""

import httpx
import pytest

from api_client import assert_problem
from restwell.web import Version
from restwell.web import _docs as docs
from restwell.web._declarations import declaration_of


async def test_the_documentation_page_loads_only_files_of_its_own_origin(tiny: httpx.AsyncClient) -> None:
    page = await tiny.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>tiny</title>" in page.text
    assert "http" not in page.text.replace("https://", "http").split("<body>")[0]
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    for name, kind in (
        ("swagger-ui-bundle.js", "text/javascript"),
        ("swagger-ui.css", "text/css"),
        ("start.js", "text"),
    ):
        assert f"/docs/{name}" in page.text
        answer = await tiny.get(f"/docs/{name}")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=3600")
        assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e"])
async def test_the_documentation_serves_no_other_file(tiny: httpx.AsyncClient, name: str) -> None:
    assert_problem(await tiny.get(f"/docs/{name}"), 404, "not_found")


async def test_the_openapi_document_is_served_as_json(tiny: httpx.AsyncClient) -> None:
    document = (await tiny.get("/openapi.json")).json()
    assert (document["openapi"], document["info"]["title"]) == ("3.1.0", "tiny")
    assert "/v1/notes" in document["paths"]


def test_without_swagger_ui_only_the_openapi_document_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the application does not start without the extra."""
    monkeypatch.setattr(docs, "find_spec", lambda _name: None)
    routes = docs.docs_routes({"": {"info": {"title": "x"}}}, [Version("", [])])
    assert [declared.path for route in routes if (declared := declaration_of(route))] == ["/openapi.json"]
