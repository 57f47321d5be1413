"""The documentation page in a real browser: it loads, authorizes and sends a request without a policy violation."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import browser_page
from servers import ROOT, Served, serve
from shop.demo import PASSWORD

SCREENSHOT = ROOT / "var" / "docs-page.png"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path, "make", "run", cwd=ROOT, DATABASE_URL=f"sqlite:///{tmp_path / 'shop.db'}") as served:
        yield served


@pytest.fixture
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
    bearer = page.locator("form").filter(has=page.get_by_label("auth-bearer-value"))
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


def _operations(server: Served) -> int:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    return sum(len(methods) for methods in paths.values())
