"""The layout of every page, and error pages."""

import re

import pytest

from ops_app import FormBrowser, page_paths
from restwell import App


@pytest.fixture
def pages(app: App) -> list[str]:
    """The paths of the pages for admins that need no id."""
    return page_paths(app)


async def test_every_page_has_headings_landmarks_and_its_place_in_the_navigation(
    admin: FormBrowser, pages: list[str]
) -> None:
    assert len(pages) > 1
    for path in pages:
        page = await admin.open(path)
        assert len(re.findall("<h1", page)) == 1, path
        assert '<a class="skip" href="#main">' in page
        assert "<main" in page
        navigation = page[page.index("<nav") : page.index("</nav>")]
        (section,) = re.findall(r'href="([^"]+)" aria-current="page"', navigation)
        assert path.startswith(section)
        assert not re.search(r"<[^>]* (style|on[a-z]+)=", page), f"{path} has an inline style or script"
        assert not re.search(r"<script(?![^>]* src=)", page), path


@pytest.mark.slow
async def test_every_page_is_stored_nowhere_and_runs_no_script_of_others(admin: FormBrowser, pages: list[str]) -> None:
    for path in [*pages, "/ops/sign-in", "/ops/nothing", "/ops/static/nothing"]:
        headers = (await admin.get(path)).headers
        assert headers["cache-control"] == "no-store", path
        if "html" in headers["content-type"]:
            policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
            assert policy == {
                "default-src": "'none'",
                "script-src": "'self'",
                "style-src": "'self'",
                "img-src": "'self'",
                "connect-src": "'self'",
                "form-action": "'self'",
                "base-uri": "'none'",
                "frame-ancestors": "'none'",
            }, path


async def test_what_a_page_prints_is_escaped(admin: FormBrowser) -> None:
    """Breaks with ``autoescape=False``."""
    page = await admin.open("/ops/cache")
    await admin.submit(page, "/ops/cache/clear", tag="<b>")
    shown = await admin.open("/ops/cache?x=%22%3E%3Cb%3E")
    assert "Invalidated &lt;b&gt;." in shown
    assert "<b>" not in shown


async def test_a_refresh_by_the_script_leaves_the_message_to_the_page(admin: FormBrowser) -> None:
    page = await admin.open("/ops/cache")
    await admin.submit(page, "/ops/cache/clear", tag="a")
    assert "Invalidated a." not in (await admin.get("/ops/cache", hx_request="true")).text
    assert "Invalidated a." in await admin.open("/ops/cache")
