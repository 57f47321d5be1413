"""The files of the operations page."""

import re

import httpx
import pytest

from ops_app import FormBrowser
from restwell.errors import ConfigurationError
from restwell.ops import _assets as assets


async def test_files_are_named_after_their_content_and_stored_for_a_year(browser: FormBrowser) -> None:
    page = await browser.open("/ops/sign-in")
    paths = re.findall(r'(?:src|href)="(/ops/static/[^"]+)"', page)
    assert {path.rpartition("/")[2].split(".")[0] for path in paths} == {"ops", "htmx", "icon"}
    for path in paths:
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_other_file_is_served(client: httpx.AsyncClient) -> None:
    for name in ("ops.css", "..%2Fops.css", "%2e%2e", "page.html"):
        assert (await client.get(f"/ops/static/{name}")).status_code == 404


def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restwell._extras.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'restwell\[ops\]'"):
        assets.Assets()
