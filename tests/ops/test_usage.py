"""The page of the usage of the API: by version and client, and of what is deprecated."""

import re
from datetime import date

import pytest

from ops_app import FormBrowser, create_app
from restwell.settings import Settings
from restwell.testing import running
from restwell.web import Feature, Lifecycle, get


@get(
    "/old",
    lifecycle=Lifecycle(
        deprecated=date(2026, 1, 1), sunset=date(2100, 1, 1), successor="/new", guide="https://docs.example/migration"
    ),
)
async def old() -> str:
    return "old"


@get("/older", lifecycle=Lifecycle(deprecated=date(2020, 1, 1), sunset=date(2021, 1, 1)))
async def older() -> str:
    return "older"


@get("/soon", lifecycle=Lifecycle(deprecated=date(2100, 1, 1)))
async def soon() -> str:
    return "soon"


def rows(page: str) -> list[str]:
    """The text of each row of a table."""
    return [
        " ".join(re.sub(r"<[^>]+>", " ", row).split())
        for row in re.findall(r"<tr><th.*?</tr>", page, re.DOTALL)
        if "<td" in row
    ]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_page_shows_who_calls_what_is_deprecated_with_its_dates(settings: Settings) -> None:
    """Fails if a date, the successor or the guide of a Lifecycle is not on the page."""
    async with running(create_app(settings, Feature(controllers=[old, older, soon]))) as client:
        browser = FormBrowser(client)
        await browser.sign_in_with_form()
        page = await browser.open("/ops/usage")
        assert "No request for a deprecated route since the server started." in page
        assert "No request for a version since the server started." in page
        for path in ("/old", "/old", "/older"):
            await browser.get(path)
        page = await browser.open("/ops/usage")
        assert '<a class="break" href="https://docs.example/migration" rel="noreferrer">' in page
        assert rows(page) == [
            "GET /older ended 2020-01-01 2021-01-01 – – 1",  # noqa: RUF001  # what an empty cell has
            "GET /old deprecated 2026-01-01 2100-01-01 /new https://docs.example/migration 2",
            "GET /soon announced 2100-01-01 – – – 0",  # noqa: RUF001  # as above
            "GET /old anonymous 2",
            "GET /older anonymous 1",
        ]


async def test_the_page_counts_calls_by_version_and_client(admin: FormBrowser) -> None:
    page = await admin.open("/ops/usage")
    assert page.count("No version and no route is deprecated.") == 2
    for browser in (admin, admin, FormBrowser(admin.client)):
        await browser.get("/v1/users/me")
    assert rows(await admin.open("/ops/usage")) == ["/v1 user 2", "/v1 anonymous 1"]
