"""The documentation page in a real browser: it loads, authorizes and sends a request without a policy violation."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import browser_page
from servers import ROOT, Served, serve
from shop.demo import PASSWORD

SCREENSHOT = ROOT / "var" / "docs-page.png"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("server")
    with serve(folder, "make", "run", cwd=ROOT, DATABASE_URL=f"sqlite:///{folder / 'shop.db'}") as served:
        yield served


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as opened:
        yield opened


def test_the_documentation_page_opens_signs_in_and_sends_a_request(page: Page, server: Served) -> None:
    """Breaks when a script is inline or from another origin: the policy blocks it and logs an error."""
    complaints: list[str] = []
    foreign: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((server.url, "data:")) else None)

    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("heading", name="shop", exact=False).first).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(_operations(server))
    SCREENSHOT.parent.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOT)

    credentials = {"email": "customer1@shop.example", "password": PASSWORD}
    token = httpx.post(f"{server.url}/v1/sessions", json=credentials).json()["access_token"]
    page.get_by_role("button", name="Authorize").first.click()
    bearer = page.locator(".auth-container").filter(has=page.get_by_text("access_token", exact=False)).first
    bearer.get_by_label("auth-bearer-value").fill(token)
    bearer.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").last.click()

    operation = page.locator("#operations-Users-get_own_account")
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_contain_text("200")
    expect(answer).to_contain_text("customer1@shop.example")
    assert complaints == []
    assert foreign == []


def test_the_documentation_page_shows_the_selected_version(page: Page, server: Served) -> None:
    """Breaks when the start script ignores the selection."""
    page.goto(f"{server.url}/docs")
    selection = page.get_by_label("Version")
    expect(selection).to_have_value("/v2/openapi.json")
    expect(page.get_by_text("/v2/users/me", exact=True).first).to_be_visible()
    selection.select_option("v1 (deprecated)")
    expect(page.get_by_text("Deprecated since 2026-12-01. Responds with 410 from 2100-01-01. Use /v2.")).to_be_visible()
    expect(page.get_by_label("Version")).to_have_value("/v1/openapi.json")
    without_end = 2  # health checks belong to no version
    expect(page.locator(".opblock-deprecated")).to_have_count(_operations(server, "/v1") - without_end)


def _operations(server: Served, version: str = "") -> int:
    paths = httpx.get(f"{server.url}{version}/openapi.json").json()["paths"]
    return sum(len(methods) for methods in paths.values())


def test_graphiql_describes_the_schema_and_runs_a_document(page: Page, server: Served) -> None:
    """Breaks when a script is inline or from another origin, and when the limits refuse the query for the schema."""
    complaints: list[str] = []
    foreign: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((server.url, "data:")) else None)

    text = '{ products(first: 1, category: "audio") { nodes { name } } }'
    page.goto(f"{server.url}/graphql")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.locator(".graphiql-doc-explorer")).to_contain_text("Query")
    page.locator(".graphiql-query-editor .CodeMirror textarea").focus()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".result-window")).to_contain_text('"products"')
    expect(page.locator(".result-window")).to_contain_text('"nodes"')
    assert complaints == []
    assert foreign == []
