"""Error pages are readable."""

import pytest

from ops_app import FormBrowser
from restwell.errors import PROBLEMS


async def test_errors_are_pages_for_people(admin: FormBrowser, browser: FormBrowser) -> None:
    answer = await admin.send_form("/ops/cache/clear", {"tag": "a" * 201})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"Request {answer.headers['x-request-id']}" in answer.text
    answer = await browser.get("/ops/static/nothing.css")
    assert answer.status_code == 404
    assert "<h1>Not Found</h1>" in answer.text


async def test_a_page_without_a_session_leads_to_the_sign_in(browser: FormBrowser) -> None:
    answer = await browser.get("/ops/cache")
    assert answer.status_code == 401
    assert "Sign in to continue" in answer.text
    assert 'href="/ops/sign-in"' in answer.text


def test_other_applications_keep_their_errors() -> None:
    assert PROBLEMS.headers == {}


async def test_an_unexpected_error_is_a_page_without_details(
    admin: FormBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restwell.ops._cache.read_cache", None)
    answer = await admin.get("/ops/cache")
    assert answer.status_code == 500
    assert "Internal error." in answer.text
    assert "NoneType" not in answer.text
