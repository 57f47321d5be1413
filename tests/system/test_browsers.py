"""CORS, cookies and OAuth redirects in a real browser."""

from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from accounts_app import PASSWORD
from accounts_environment import accounts_environment
from browser import browser_page
from misbehaving_provider import MisbehavingProvider
from servers import RESTWELL, ROOT, serve

PATCH_NAME = """async ([api, token]) => {
  try {
    const answer = await fetch(`${api}/v1/users/me`, {
      method: "PATCH",
      headers: {"authorization": `Bearer ${token}`, "content-type": "application/merge-patch+json"},
      body: JSON.stringify({name: "From another origin"}),
    });
    return [answer.status, answer.headers.get("x-request-id") !== null];
  } catch (error) {
    return String(error);
  }
}"""
OWN_ACCOUNT = """async () => {
  const answer = await fetch("/v1/users/me");
  return [answer.status, (await answer.json()).email, document.cookie];
}"""
CHANGE = """async (api) => {
  try {
    return (await fetch(`${api}/v1/sessions`, {method: "DELETE", credentials: "include", mode: "no-cors"})).type;
  } catch (error) {
    return String(error);
  }
}"""


@pytest.fixture
def page() -> Iterator[Page]:
    with browser_page() as opened:
        yield opened


@pytest.fixture
def other_origin() -> Iterator[str]:
    """The origin of a page of another site."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:  # name of the base class
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Another origin</title>")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def prepared(tmp_path: Path) -> dict[str, str]:
    return accounts_environment(f"sqlite:///{tmp_path}/accounts.db")


@pytest.mark.parametrize("listed", [True, False])
def test_a_browser_lets_a_page_of_another_origin_call_only_if_it_is_listed(
    page: Page, other_origin: str, tmp_path: Path, *, listed: bool
) -> None:
    """Breaks for the allowed origin when the preflight response lacks the method or the headers."""
    settings = prepared(tmp_path) | {"CORS_ORIGINS": other_origin if listed else "http://127.0.0.1:1"}
    with serve(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings) as served:
        credentials = {"email": "member@app.example", "password": PASSWORD}
        token = httpx.post(f"{served.url}/v1/sessions", json=credentials).json()["access_token"]
        page.goto(other_origin)
        answer = page.evaluate(PATCH_NAME, [served.url, token])
        account = httpx.get(f"{served.url}/v1/users/me", headers={"authorization": f"Bearer {token}"}).json()
    assert answer == ([200, True] if listed else "TypeError: Failed to fetch")
    assert (account["name"] == "From another origin") is listed


def test_a_sign_in_with_a_provider_ends_in_a_session_that_no_other_page_can_use(
    page: Page, other_origin: str, tmp_path: Path
) -> None:
    """Breaks when the OAuth state cookie is Strict: browsers do not send it after the redirect of the provider."""
    with MisbehavingProvider() as provider:
        settings = prepared(tmp_path) | {"OAUTH_PROVIDERS": provider.setting("okta")}
        with serve(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings) as served:
            origin = served.url.replace("127.0.0.1", "localhost")
            provider.redirect_uri = f"{origin}/v1/identities/okta/callback"
            provider.misbehave(ask=True)
            page.goto(f"{origin}/v1/identities/okta/sign-in?return_to=/docs")
            page.get_by_text("Yes, it is me").click()
            page.wait_for_url(f"{origin}/docs")
            assert page.url == f"{origin}/docs"
            assert page.evaluate(OWN_ACCOUNT) == [200, "ada@example.com", ""]
            page.goto(other_origin)
            page.evaluate(CHANGE, origin)
            page.goto(f"{origin}/docs")
            assert page.evaluate(OWN_ACCOUNT)[0] == 200, "the cross-site request did not sign out"
