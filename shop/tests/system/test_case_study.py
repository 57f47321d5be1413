"""The catalogue becomes a service while the shop is used (docs/two-services.md): the script, with little load."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import apsw
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from case_study import strangler
from case_study.split import split
from processes import READY_SECONDS
from restwell.database import Database, open_database
from restwell.settings import DatabaseSettings, LogSettings, RequestSettings
from restwell.testing import running
from servers import NEEDS, postgres_programs
from shop.settings import ShopSettings
from two_services import catalogue_in


async def test_the_catalogue_moves_to_another_service_without_a_failed_request_or_a_lost_order(tmp_path: Path) -> None:
    """Fails if a server is killed instead of drained, if the switch takes no lock of the writes, if the replica gets no
    updates, or if orders of before get no reservation.
    """
    if shutil.which("nginx") is None or postgres_programs() is None:
        pytest.skip(f"{NEEDS}: nginx and PostgreSQL (apt-get install nginx-light postgresql)")
    found = await split(tmp_path, seconds=1, per_second=20)
    assert found["failed"] == []
    wrong = ("lost", "doubled", "differences", "lost_changes", "unsettled", "wrong_cancellations", "wrong_stock")
    assert {name: found[name] for name in (*wrong, "wrong_reservations")} == dict.fromkeys(
        (*wrong, "wrong_reservations"), 0
    )
    assert min(found["orders"], found["cancelled"], found["compared"]) > 0


async def test_a_price_that_the_other_catalogue_answers_differently_is_reported(
    tmp_path: Path, prepare: Callable[[Database], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other catalogue has another price of one product. Fails if prices are not compared, or if what has the same
    version is compared again until the switch, which ends all comparisons.
    """
    here, there = tmp_path / "shop.db", tmp_path / "there" / "catalogue.db"
    async with open_database(f"sqlite:///{here}") as database:
        await prepare(database)
    there.parent.mkdir()
    shutil.copy(here, there)
    apsw.Connection(str(here)).execute("CREATE TABLE catalogue_move (done); INSERT INTO catalogue_move VALUES (0)")
    other = apsw.Connection(str(there))
    dear, same = other.execute("SELECT id FROM products ORDER BY created_at DESC, id DESC LIMIT 2").get
    other.execute("UPDATE products SET price_cents = price_cents + 1 WHERE id = ?", (dear,))
    other.close()
    monkeypatch.setattr(strangler, "AGREE_SECONDS", float("inf"))
    async with catalogue_in(there.parent) as catalogue:
        monkeypatch.setenv("COMPARE_URL", catalogue.url)
        monkeypatch.setenv("STOCK_URL", catalogue.url)
        settings = ShopSettings(
            database=DatabaseSettings(url=SecretStr(f"sqlite:///{here}")),
            runtime_dir=tmp_path,
            request=RequestSettings(timeout_seconds=30),  # for a busy machine
            log=LogSettings(format="pretty"),  # for capture_logs
        )
        found: dict[str, str] = {}
        async with running(strangler.create_app(settings)) as client, asyncio.timeout(READY_SECONDS):
            with capture_logs() as lines:
                for path in (f"/{UUID(bytes=dear)}", f"/{UUID(bytes=same)}", ""):
                    assert (await client.get(f"/v1/products{path}")).status_code == 200
                while len(found) < 3:
                    await asyncio.sleep(0.02)
                    found = {each["what"]: each["event"] for each in lines if "what" in each}
    assert found == {
        f"product {UUID(bytes=dear)}": "catalogue_differs",
        f"product {UUID(bytes=same)}": "catalogue_agrees",
        "products of None": "catalogue_differs",
    }
