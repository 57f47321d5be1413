"""Sales reports: creation, building by a job, and download."""

import csv
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_client import Json, assert_problem
from cases import each
from restwell import App
from restwell.ids import new_id
from restwell.settings import FilesSettings
from restwell.testing import finish_jobs
from shop.app import create_app
from shop.reports import builder
from shop.reports.pdf import MAX_BARS, bars
from shop.settings import ShopSettings
from shop_client import ShopClient

TODAY = datetime.now(UTC).date().isoformat()
TOMORROW = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()  # the tests may run across midnight


@pytest.fixture
def app(settings: ShopSettings, tmp_path: Path) -> App:
    return create_app(settings.model_copy(update={"files": FilesSettings(dir=tmp_path / "files")}))


async def request(api: ShopClient, first_day: Any = TODAY, last_day: Any = TOMORROW) -> httpx.Response:
    return await api.send("POST", "/v1/reports", {"first_day": first_day, "last_day": last_day})


async def sell(
    admin: ShopClient, customer: ShopClient, name: str, currency: str, price: int, *quantities: int
) -> list[str]:
    draft = {"name": name, "category": "home", "price_cents": price, "currency": currency, "stock": 99}
    product: Json = (await admin.send("POST", "/v1/products", draft)).json()
    orders = [await customer.order(str(new_id()), (product["id"], quantity)) for quantity in quantities]
    return [order.json()["id"] for order in orders]


@pytest.mark.slow
async def test_a_report_is_built_by_a_job_and_has_every_line_once(
    admin: ShopClient, customer: ShopClient, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the next page starts at the last order of the previous one, or skips one."""
    monkeypatch.setattr(builder, "PAGE_SIZE", 2)
    sold = await sell(admin, customer, "=1+1", "EUR", 1_050, 1, 2, 3)
    (cancelled,) = await sell(admin, customer, "Tent, large", "EUR", 9_900, 1)
    await customer.send("POST", f"/v1/orders/{cancelled}/cancellation")
    yen = await sell(admin, customer, "Fan", "JPY", 700, 2)

    answer = await request(admin)
    assert (answer.status_code, answer.json()["state"], answer.json()["progress"]) == (202, "pending", 0)
    where = answer.headers["location"]
    assert_problem(await admin.get(f"{where}/sales.csv"), 404, "not_found")
    await finish_jobs(app)

    report = (await admin.get(where)).json()
    assert (report["state"], report["progress"]) == ("ready", 100)
    assert report["urls"] == {"sales.csv": f"{where}/sales.csv", "sales.pdf": f"{where}/sales.pdf"}
    table = await admin.get(report["urls"]["sales.csv"])
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="sales.csv"'
    assert table.headers["cache-control"] == "no-store"
    assert int(table.headers["content-length"]) == len(table.content)
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert [line["order"] for line in lines] == [*sold, cancelled, *yen]
    assert [line["product"] for line in lines] == ["'=1+1"] * 3 + ["Tent, large", "Fan"], "formulas are escaped"
    assert [line["total"] for line in lines] == ["10.50", "21.00", "31.50", "99.00", "1400"]
    assert [line["status"] for line in lines] == ["pending"] * 3 + ["cancelled", "pending"]

    paper = await admin.get(report["urls"]["sales.pdf"])
    assert paper.headers["content-type"] == "application/pdf"
    assert paper.content.startswith(b"%PDF-")


@pytest.mark.slow
async def test_the_progress_of_a_report_is_visible_while_it_is_built(
    admin: ShopClient, customer: ShopClient, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PDF rendering fails here, so the report stays pending after it has read today's orders."""
    await sell(admin, customer, "Lamp", "EUR", 100, 1)
    monkeypatch.setattr(builder, "render_pdf", int)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    where = (await request(admin, yesterday.isoformat())).headers["location"]
    await finish_jobs(app)
    report = (await admin.get(where)).json()
    assert (report["state"], report["urls"]) == ("pending", {})
    assert 33 <= report["progress"] <= 99


@pytest.mark.slow
async def test_a_report_of_days_without_sales_is_empty(admin: ShopClient, app: App) -> None:
    where = (await request(admin, "2020-01-01", "2020-12-31")).headers["location"]
    await finish_jobs(app)
    assert (await admin.get(f"{where}/sales.csv")).text.count("\n") == 1
    assert (await admin.get(f"{where}/sales.pdf")).content.startswith(b"%PDF-")


@pytest.mark.slow
async def test_reports_of_the_first_and_the_last_valid_day_are_built(admin: ShopClient, app: App) -> None:
    reports = [(await request(admin, day, day)).headers["location"] for day in ("1970-01-01", "9998-12-31")]
    await finish_jobs(app)
    assert [(await admin.get(where)).json()["state"] for where in reports] == ["ready", "ready"]


@each(
    ("first_day", "last_day"),
    [
        ("2026-02-01", "2026-01-31"),
        ("2025-01-01", "2026-01-02"),
        ("2026-02-30", "2026-03-01"),
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31", "9999-12-31"),
        ("9998-12-31", "9999-12-31"),  # regression: the job failed, because there is no later date
        ("9998-12-31", "9999-01-01"),
        ("1969-12-31", "1970-01-01"),
        (1, "2026-01-01"),
    ],
)
async def test_an_invalid_range_of_days_is_refused(admin: ShopClient, first_day: Any, last_day: Any) -> None:
    assert_problem(await request(admin, first_day, last_day), 422, "invalid")


@pytest.mark.slow
async def test_only_an_admin_reads_reports(admin: ShopClient, customer: ShopClient, anyone: ShopClient) -> None:
    where = (await request(admin)).headers["location"]
    for path in (where, f"{where}/sales.csv", f"{where}/sales.pdf"):
        assert_problem(await customer.get(path), 403, "forbidden")
        assert_problem(await anyone.get(path), 401, "unauthorized")


def test_the_bars_of_a_year_fit_into_the_chart() -> None:
    first, last = date(2026, 1, 1), date(2026, 12, 31)
    year = bars(Counter({first: 5, first + timedelta(days=11): 7, last: 9}), first, last)
    assert len(year) <= MAX_BARS
    assert sum(cents for _, cents in year) == 21
    assert year[0] == ("01 Jan", 12)
    assert bars(Counter({first: 5}), first, first) == [("01 Jan", 5)]
    assert [name for name, _ in bars(Counter(), first, date(2026, 1, 3))] == ["01 Jan", "02 Jan", "03 Jan"]
