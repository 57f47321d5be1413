"""The page of the usage of what is deprecated."""

from datetime import date

import pytest

from ops_app import FormBrowser, create_app
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Feature, Lifecycle, get


@get("/old", lifecycle=Lifecycle(deprecated=date(2026, 1, 1), sunset=date(2100, 1, 1)))
async def old() -> str:
    return "old"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_page_shows_who_calls_what_is_deprecated(settings: Settings) -> None:
    async with running(create_app(settings, Feature(controllers=[old]))) as client:
        browser = FormBrowser(client)
        await browser.sign_in_with_form()
        assert "No request for a deprecated route" in await browser.open("/ops/usage")
        await browser.get("/old")
        page = await browser.open("/ops/usage")
        assert "<code>/old</code>" in page
        assert "<code>anonymous</code>" in page


async def test_without_deprecated_routes_the_page_says_so(admin: FormBrowser) -> None:
    assert "No version and no route is deprecated." in await admin.open("/ops/usage")
