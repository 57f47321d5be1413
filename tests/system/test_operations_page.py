"""The operations page in a real browser: its policy, its accessibility, the keyboard, and without JavaScript."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from axe import violations
from browser import browser_page
from many_jobs import add_jobs
from ops_app import ADMIN, PASSWORD, create_app, page_paths
from restwell.database import open_database
from restwell.settings import Settings
from servers import RESTWELL, ROOT, SUPPORT, Served, restwell, serve

PAGES: Final = page_paths(create_app(Settings()))
POLICY: Final = """document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`);
});"""
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
EVERY_MS: Final = 5_000
RETRY_MS: Final = 15_000
"""The times of ``ops.js``."""


async def add_dead_jobs(url: str) -> None:
    async with open_database(url) as database:
        await add_jobs(database, "dead", 3, queue="default")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all, with three dead jobs. They are added before the browser, which has an event loop."""
    folder = tmp_path_factory.mktemp("ops")
    environment = {
        "RESTWELL_APP": "ops_app:ops",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": f"sqlite:///{folder}/ops.db",
        "JWT_SECRET": "a secret for tests, which is long enough to be one",
        "SMTP_URL": f"folder:{folder}/mails",
    }
    for command in ("migrate", "seed"):
        restwell(command, cwd=ROOT, **environment).check_returncode()
    asyncio.run(add_dead_jobs(environment["DATABASE_URL"]))
    with serve(folder, RESTWELL, "serve", cwd=ROOT, **environment) as served:
        for path in ("/v1/users/me", "/v1/nothing", "/health/ready"):
            httpx.get(f"{served.url}{path}")
        yield served


@pytest.fixture(scope="module")
def chromium(server: Served) -> Iterator[Browser]:
    assert server.is_ready()
    with browser_page() as page:
        opened = page.context.browser
        assert opened is not None
        yield opened


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The same browser without the cookies and pages of the test before."""
    yield chromium
    for context in chromium.contexts:
        context.close()


def look(page: Page) -> list[str]:
    """The violations in light and in the dark."""
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += violations(page)
    page.emulate_media(color_scheme="light")
    return found


def sign_in(page: Page, server: Served) -> None:
    page.goto(f"{server.url}/ops/sign-in")
    page.get_by_label("Email address").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_every_page_keeps_the_policy_and_the_guidelines_of_accessibility(browser: Browser, server: Served) -> None:
    """In light, in the dark, and on a phone.

    Fails with ``style="..."`` in a template (policy), and with ``--soft: #8a97a3`` in the style sheet (contrast).
    """
    complaints: list[str] = []
    foreign: list[str] = []
    page = browser.new_page()
    page.clock.install()
    page.add_init_script(POLICY)
    page.on("console", lambda each: complaints.append(each.text) if each.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda each: None if each.url.startswith(server.url) else foreign.append(each.url))
    page.goto(f"{server.url}/ops/sign-in")
    found = {"/ops/sign-in": look(page)}
    sign_in(page, server)
    assert len(PAGES) > 5
    for path in PAGES:
        page.goto(f"{server.url}{path}")
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        found[path] = look(page)
        current = page.get_by_role("navigation").locator("[aria-current=page]")
        page.set_viewport_size(PHONE)
        page.reload()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], f"{path} scrolls sideways"
        expect(current).to_be_in_viewport()
        page.set_viewport_size({"width": 1280, "height": 1000})
    page.goto(f"{server.url}/ops")
    with page.expect_response(lambda each: each.request.headers.get("hx-request") == "true"):
        page.clock.fast_forward(EVERY_MS)  # the page refreshes itself
    assert {path: each for path, each in found.items() if each} == {}
    assert (complaints, foreign) == ([], [])
    page.goto(f"{server.url}/ops/requests?sort=nothing")
    assert look(page) == []


def test_the_page_is_used_with_the_keyboard_alone(browser: Browser, server: Served) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/ops/cache")
    page.wait_for_url(re.compile(r"/ops/sign-in\?next="))  # the script saw that there is no session
    page.keyboard.type(ADMIN)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Cache")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    clear = page.get_by_role("button", name="Clear the cache")
    expect(clear).to_be_focused()
    assert clear.evaluate("(each) => getComputedStyle(each).outlineStyle") == "solid"
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Invalidated")).to_have_count(0)
    page.once("dialog", lambda dialog: dialog.accept())
    page.keyboard.press("Enter")
    expect(page.get_by_text("Invalidated the whole cache.")).to_be_visible()


def test_everything_works_without_javascript(browser: Browser, server: Served) -> None:
    """Breaks when a page or a button needs the script."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{server.url}/ops/cache")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Email address").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    for link in page.get_by_role("navigation").get_by_role("link").all_text_contents():
        page.get_by_role("navigation").get_by_role("link", name=link, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(link)
        expect(page.get_by_role("navigation").locator("[aria-current=page]")).to_have_text(link)
    page.goto(f"{server.url}/ops/cache")
    page.get_by_label("Invalidate tags").fill("product:42")
    page.get_by_role("button", name="Invalidate", exact=True).click()
    expect(page.get_by_text("Invalidated product:42.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{server.url}/ops")
    expect(page.get_by_text("Sign in to continue")).to_be_visible()


def test_a_live_page_says_when_the_server_is_away_and_is_quiet_when_paused_or_hidden(
    browser: Browser, server: Served
) -> None:
    """Fails when a failed refresh ends the refreshes, or shows old figures as if they were new.

    Fails when the script does not look at ``document.hidden``: each forgotten tab would cost the server a page in five
    seconds. Headless Chromium hides no tab, so the test sets what a browser sets, and sends the event.
    """
    page = browser.new_page()
    page.clock.install()
    sign_in(page, server)
    state = page.locator("#live-state")
    expect(state).to_have_text("Live")
    page.route("**/ops", lambda route: route.abort())
    page.clock.fast_forward(EVERY_MS)
    expect(state).to_have_text("The server does not respond")
    page.unroute("**/ops")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused")
    requests: list[str] = []
    page.on("request", lambda each: requests.append(each.url) if "/static/" not in each.url else None)
    page.clock.fast_forward(2 * RETRY_MS)
    with page.expect_response(f"{server.url}/ops"):
        page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Live")
    assert len(requests) == 1
    set_hidden(page, hidden=True)
    page.clock.fast_forward(2 * RETRY_MS)
    page.get_by_role("heading", name="Overview").click()  # after any request of the script
    assert len(requests) == 1
    with page.expect_response(f"{server.url}/ops"):
        set_hidden(page, hidden=False)
    assert len(requests) == 2, "a tab that is shown again is up to date at once"


def set_hidden(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_live_page_continues_when_its_access_token_has_expired(browser: Browser, server: Served) -> None:
    """Breaks when the script does not ask for new tokens: every quarter of an hour the page would stop."""
    page = browser.new_page()
    page.clock.install()
    sign_in(page, server)
    page.context.clear_cookies(name="__Host-access")
    with page.expect_response(lambda each: each.url.endswith("/ops/refresh")) as answer:
        page.clock.fast_forward(EVERY_MS)
    assert answer.value.status == 204
    expect(page.locator("#live-state")).to_have_text("Live", timeout=15_000)
    page.context.clear_cookies(name="__Host-access")
    page.evaluate("sessionStorage.clear()")
    page.goto(f"{server.url}/ops/workers")
    expect(page.get_by_role("heading", name="Workers", exact=True)).to_be_visible()


def test_jobs_that_failed_are_found_and_discarded_and_a_queue_is_paused(browser: Browser, server: Served) -> None:
    """Fails when the SQL or the plan, which scroll sideways, cannot have the focus of the keyboard (axe-core)."""
    page = browser.new_context(viewport=PHONE).new_page()
    sign_in(page, server)
    found = {}

    def look_at(name: str) -> None:
        found[name] = look(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], f"{name} scrolls sideways"

    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name="3", exact=True).click()
    look_at("list")
    page.get_by_role("link", name="note").first.click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    look_at("job")
    page.get_by_role("link", name="Others of this kind").click()
    page.get_by_role("link", name="Discard all that match").click()
    expect(page.get_by_role("heading", name="3 jobs match")).to_be_visible()
    look_at("change")
    page.get_by_role("button", name="Discard all of them").click()
    expect(page.get_by_text("A worker makes the change.")).to_be_visible()
    look_at("progress")
    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    page.get_by_role("button", name="Pause the queue default").click()
    expect(page.get_by_role("button", name="Resume the queue default")).to_be_visible()
    look_at("queues")
    page.goto(f"{server.url}/ops/queries/query?name=jobs.finished")
    page.get_by_role("link", name="Show the plan").click()
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    look_at("plan")
    assert {name: each for name, each in found.items() if each} == {}
