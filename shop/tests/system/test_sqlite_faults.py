"""SQLite with several processes, killed workers and concurrent checkpoints."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from order_load import audit, buy_for, create_product, is_intact
from processes import children_of
from scoreboard import Score
from servers import RESTWELL, Served, restwell, serve, wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Served]:
    """A shop with four workers on one file."""
    environment = {"DATABASE_URL": url_in(tmp_path), "RESTWELL_APP": "shop.app:shop", "WORKERS": "4"}
    for command in ("migrate", "seed"):
        assert restwell(command, cwd=tmp_path, **environment).returncode == 0
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        yield served


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'shop.db'}"


async def kill_workers_until(stop: float, shop: Served) -> int:
    """Kill the oldest worker again and again, like the OOM killer. Returns the number.

    A worker that is killed before it has started ends the server, by design.
    """
    killed = 0
    seen: dict[int, None] = {}
    while time.monotonic() < stop:
        await asyncio.sleep(1.5)
        workers = children_of(shop.process.pid)
        seen |= dict.fromkeys(workers)
        if oldest := next((pid for pid in seen if pid in workers), None):
            with suppress(ProcessLookupError):
                os.kill(oldest, signal.SIGKILL)
                killed += 1
    return killed


async def checkpoint_until(stop: float, folder: Path) -> int:
    """Force checkpoints from another process. Returns the number."""
    done = 0
    outside = apsw.Connection(str(folder / "shop.db"))
    while time.monotonic() < stop:
        with suppress(apsw.BusyError):
            outside.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            done += 1
        await asyncio.sleep(0.2)
    outside.close()
    return done


@pytest.mark.scoreboard(
    "D6", "SQLite: 4 processes, kill -9, forced checkpoints", "integrity ok; I1, I2, I4; busy at most 0.01%"
)
async def test_sqlite_survives_killed_workers_and_forced_checkpoints(
    shop: Served, tmp_path: Path, score: Score
) -> None:
    """Breaks with BEGIN DEFERRED: writers then fail with SQLITE_BUSY immediately."""
    product = await create_product(shop)
    seconds = score.size(10, 600)
    stop = time.monotonic() + seconds
    attempts, killed, checkpoints = await asyncio.gather(
        buy_for(seconds, shop.url, product, "during"), kill_workers_until(stop, shop), checkpoint_until(stop, tmp_path)
    )
    wait_until(shop.is_ready, shop.process, shop)
    after = await buy_for(1, shop.url, product, "after")
    assert {attempt.status for attempt in attempts} <= {0, 201, 503}, "0 is a worker that was killed meanwhile"
    assert {attempt.status for attempt in after} == {201}
    assert killed >= seconds / 3
    assert is_intact(tmp_path / "shop.db")
    orders = await audit(url_in(tmp_path), product, attempts + after)
    busy = sum(attempt.code == "database_busy" for attempt in attempts)
    assert busy <= len(attempts) * 0.0001
    unknown = sum(attempt.status == 0 for attempt in attempts)
    score.note(
        f"{killed} kills, {checkpoints:,} checkpoints, {orders:,} orders, {unknown} cut off; 0 lost, integrity ok,"
        f" {busy} busy"
    )
