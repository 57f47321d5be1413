"""A person finds what is slow and what fails from the operations page alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from browser import browser_page
from ops_app import ADMIN, PASSWORD
from servers import RESTWELL, ROOT, SUPPORT, Served, serve, wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """What ``make run`` starts, with two workers, after some requests."""
    environment = {
        "RESTWELL_APP": "troubled_app:troubled",
        "PYTHONPATH": str(SUPPORT),
        "DATABASE_URL": f"sqlite:///{tmp_path}/ops.db",
        "SMTP_URL": f"folder:{tmp_path}/mails",
        "WORKERS": "2",
        "ADDRESSES": str(tmp_path / "addresses"),
    }
    with serve(tmp_path, RESTWELL, "dev", cwd=ROOT, **environment) as served:
        for _ in range(10):
            httpx.get(f"{served.url}/fast").raise_for_status()
        httpx.get(f"{served.url}/stock", timeout=30).raise_for_status()
        httpx.post(f"{served.url}/invoices").raise_for_status()
        wait_until(lambda: "has no address" in served.output, served.process, served)
        yield served


def test_a_person_finds_the_slow_route_its_query_and_the_failed_job_and_mends_it(
    server: Served, tmp_path: Path
) -> None:
    """Fails without the link from a span to its query, with the figures of one worker only, when a retried job
    does not run again, and when an open page refreshes the state of a job but not its buttons.
    """
    link = re.search(r"^  ops +(\S+)$", server.output, re.MULTILINE)
    assert link is not None, "no link is printed"
    with browser_page() as page:
        page.goto(link[1])
        page.wait_for_url(re.compile("/ops/sign-in"))
        page.get_by_label("Email address").fill(ADMIN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Something needs attention")).to_be_visible(timeout=15_000)
        expect(page.get_by_text("failed in every attempt: 1")).to_be_visible()

        page.get_by_role("navigation").get_by_role("link", name="Requests").click()
        by_route = page.get_by_role("region", name="Table: Requests by route")
        expect(by_route).to_contain_text("/stock", timeout=30_000)
        rows = by_route.get_by_role("row").all_inner_texts()
        slow, fast = (next(n for n, row in enumerate(rows) if path in row) for path in ("/stock", "/fast"))
        assert slow < fast
        of_both_workers = by_route.get_by_role("row", name="/fast").get_by_role("cell").first
        expect(of_both_workers).to_have_text("10", timeout=30_000)
        page.get_by_role("link", name="/stock").first.click()
        expect(page.get_by_role("heading", name="Where the time went")).to_be_visible()
        page.get_by_role("link", name="stock.count").click()
        expect(page.get_by_role("heading", name="stock.count", exact=True)).to_be_visible()
        page.get_by_role("link", name="Show the plan").click()
        expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
        page.get_by_role("link", name="All queries").click()
        page.get_by_role("link", name="Mean time").click()
        queries = page.get_by_role("region", name="Table: Table of queries").get_by_role("rowheader")
        expect(queries.first).to_have_text("stock.count")
        assert {"stock.one", "jobs.insert"} <= set(queries.all_inner_texts())

        page.get_by_role("navigation").get_by_role("link", name="Overview").click()
        page.get_by_role("link", name="Jobs failed").click()
        page.get_by_role("link", name="send_invoice").click()
        expect(page.get_by_text("ValueError: invoice 42 has no address").first).to_be_visible()
        other = page.context.new_page()
        other.goto(page.url)
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("The job is ready, with all its attempts.")).to_be_visible()
        facts = page.get_by_role("region", name="Job", exact=True)
        expect(facts.get_by_text("dead", exact=True)).to_be_visible(timeout=30_000)  # it ran, and the cause was there
        (tmp_path / "addresses").touch()
        page.get_by_role("button", name="Retry").click()
        expect(facts.get_by_text("done", exact=True)).to_be_visible(timeout=30_000)
        expect(other.get_by_text("done", exact=True)).to_be_visible(timeout=30_000)
        expect(other.get_by_role("button", name="Retry")).to_have_count(0)
        page.get_by_role("navigation").get_by_role("link", name="Overview").click()
        expect(page.get_by_text("none has failed or waits")).to_be_visible()
