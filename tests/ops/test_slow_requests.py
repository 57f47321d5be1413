"""The failed and the slowest requests, with their spans."""

import re

import pytest
from sqlalchemy import text

from ops_app import FormBrowser, create_app
from restwell.database import Database, query
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Feature, get

lookup = query("widgets.lookup", text("SELECT 1"), into=int)


@get("/slow")
async def slow(database: Database) -> int:
    return await database.one(lookup)


@get("/broken")
async def broken() -> int:
    raise RuntimeError("broken on purpose")


async def test_a_person_finds_the_query_of_a_slow_request_and_why_another_failed(settings: Settings) -> None:
    """Breaks when processes do not report their requests."""
    async with running(create_app(settings, Feature(controllers=[slow, broken]))) as client:
        browser = FormBrowser(client)
        await browser.sign_in_with_form()
        assert (await browser.get("/slow")).status_code == 200
        assert (await browser.get("/broken")).status_code == 500
        page = await browser.open("/ops/requests")
        listed = page[page.index('id="slow"') :]
        assert re.findall(r"<code>(/[^<]*)</code></a>", listed)[0] == "/broken", "failed requests come first"
        assert "RuntimeError" in listed
        assert "<code>widgets.lookup</code>" in listed
        (path,) = re.findall(r'href="(/ops/requests/[^"]+)"><code>/slow<', listed)
        shown = await browser.open(path)
        assert "widgets.lookup" in shown
        assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</time>", shown)
        assert "<code>/ops" not in listed, "requests of the operations page are left out"
        assert '<svg class="timeline query"' in shown
        assert shown.count('aria-current="page"') == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_request_of_long_ago_is_an_error_page_that_says_so(admin: FormBrowser) -> None:
    answer = await admin.get("/ops/requests/nothing")
    assert answer.status_code == 404
    assert "too long ago" in answer.text
