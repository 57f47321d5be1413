"""While the disk is full, writes are refused and reads are served; afterwards writes work again."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from api_client import Json
from order_load import Attempt, audit, buy_for, create_product, is_intact, sign_in_customer
from scoreboard import Score
from servers import RESTWELL, Postgres, Served, postgres, restwell, serve

DISK_MB = 24
RECOVERY_SECONDS = 10  # SCOREBOARD D5


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system, which PostgreSQL's user can access."""
    folder = Path(tempfile.mkdtemp(prefix="restwell-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "restwell-test", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        folder.rmdir()
        pytest.skip("a small disk is made by mount, which is not allowed here")
    folder.chmod(0o755)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


@contextmanager
def shop_on(url: str, folder: Path) -> Iterator[Served]:
    environment = {"DATABASE_URL": url, "RESTWELL_APP": "shop.app:shop", "WORKERS": "2"}
    for command in ("migrate", "seed"):
        assert restwell(command, cwd=folder, **environment).returncode == 0
    with serve(folder, RESTWELL, "serve", cwd=folder, **environment) as served:
        yield served


def fill(disk: Path) -> Path:
    """A file that uses the remaining space."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    return filler


async def fill_and_free(shop: Served, disk: Path, score: Score) -> tuple[Json, list[Attempt]]:
    """Place orders before, while and after the disk is full."""
    product, tokens = await create_product(shop), await sign_in_customer(shop)
    before = await buy_for(1, shop.url, product, "before", tokens)
    filler = fill(disk)
    full = await buy_for(score.size(4, 20), shop.url, product, "full", tokens)
    async with httpx.AsyncClient(base_url=shop.url) as client:
        assert (await client.get(f"/v1/products/{product['id']}")).status_code == 200, "reading needs no room"
    filler.unlink()
    freed = time.monotonic()
    after = await buy_for(3, shop.url, product, "after", tokens)
    back = min(attempt.at for attempt in after if attempt.status == 201) - freed
    assert {attempt.status for attempt in before} == {201}
    assert {attempt.status for attempt in full} <= {201, 503}, "what still fits is stored"
    refused = [attempt for attempt in full if attempt.status == 503]
    assert {(attempt.code, attempt.retry_after) for attempt in refused} == {("database_unavailable", "1")}
    assert back < RECOVERY_SECONDS
    score.note(f"{len(refused):,} x 503, 0 others; reads served; back {back:.1f} s after there was room; integrity ok")
    return product, before + full + after


@pytest.mark.scoreboard("D5", "disk full, then freed", "writes 503; integrity ok; resumes in 10 s")
async def test_sqlite_refuses_writes_while_the_disk_is_full(disk: Path, tmp_path: Path, score: Score) -> None:
    """Breaks when SQLITE_FULL is no DatabaseUnavailable: the answers are then 500s."""
    url = f"sqlite:///{disk / 'shop.db'}"
    with shop_on(url, tmp_path) as shop:
        product, attempts = await fill_and_free(shop, disk, score)
    assert is_intact(disk / "shop.db")
    await audit(url, product, attempts)


@pytest.fixture
def server(disk: Path, postgres_server: str) -> Iterator[Postgres]:
    """A server with its tables on the small disk and its write-ahead log on another: a full log would end it."""
    assert postgres_server
    space = disk / "tables"
    space.mkdir()
    with postgres() as started:
        shutil.chown(space, started.owner)
        started.run_sql(f"CREATE TABLESPACE small LOCATION '{space}'")
        started.run_sql("ALTER DATABASE postgres SET default_tablespace = small")
        yield started


@pytest.mark.scoreboard("D5", "disk full, then freed", "writes 503; integrity ok; resumes in 10 s")
async def test_postgres_refuses_writes_while_the_disk_is_full(
    server: Postgres, disk: Path, tmp_path: Path, score: Score
) -> None:
    """Breaks when SQLSTATE 53100 is no DatabaseUnavailable: the answers are then 500s."""
    with shop_on(server.url, tmp_path) as shop:
        product, attempts = await fill_and_free(shop, disk, score)
        await audit(server.url, product, attempts)
