"""The cost of a claim by queue depth: ``python bench/queue_depth.py``.

Measures up to a million waiting and ten million finished jobs on PostgreSQL and SQLite, in ten minutes and with 10 GB
of disk. ``--most`` and ``--done`` set smaller limits. Each value is the median of sequential claims of ten jobs. Their
completion is not timed.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests/support"), str(ROOT / "src"), str(ROOT / "shop/src"), str(ROOT / "shop/tests/support")]

from chart import line_chart  # noqa: E402  # after the path is set
from jobs_harness import make_tables  # noqa: E402  # test helpers
from process_tree import clean_up_at_exit  # noqa: E402  # as above
from restwell.database import Database, open_database  # noqa: E402
from restwell.jobs._store import JobStore  # noqa: E402
from results_file import save_result  # noqa: E402  # as above
from servers import postgres  # noqa: E402

CLAIMS, COUNT, CHUNK = 300, 10, 500_000
_ROWS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n AS (SELECT i FROM generate_series({first}::bigint, {last}) i)",
}
_ID = {"sqlite": "unhex(printf('%032x', i))", "postgresql": "lpad(to_hex(i), 32, '0')::uuid"}
_NOW = {"sqlite": "CAST(unixepoch('subsec') * 1000000 AS INTEGER)", "postgresql": "now()"}
_INSERT = """{rows} INSERT INTO jobs (id, name, queue, priority, state, arguments, attempts, max_attempts,
fencing_token, isolated, run_at, enqueued_at, finished_at)
SELECT {id}, 'noop', 'bench', 0, '{state}', '{{"at":1795587993.692}}', 0, 5, 0, {no}, {now}, {now}, {finished}
FROM n"""


async def add(database: Database, state: str, first: int, count: int) -> None:
    """Insert ``count`` jobs with ids from ``first``."""
    dialect = database.dialect
    for start in range(first, first + count, CHUNK):
        last = min(start + CHUNK, first + count) - 1
        parts = {"rows": _ROWS[dialect].format(first=start, last=last), "id": _ID[dialect], "now": _NOW[dialect]}
        parts |= {"no": "0" if dialect == "sqlite" else "false", "state": state}
        parts["finished"] = _NOW[dialect] if state == "done" else "NULL"
        async with database.migration() as tx:
            await tx.run_script(_INSERT.format(**parts))


async def claim_ms(database: Database) -> dict[str, float]:
    store, seconds = JobStore(database), []
    for _ in range(CLAIMS):
        began = time.perf_counter()
        claimed = await store.claim(["other", "bench"], COUNT, "bench")
        seconds.append(time.perf_counter() - began)
        assert len(claimed) == COUNT
        await store.complete([(one, None) for one in claimed])
    ordered = sorted(seconds)
    return {
        "median_ms": round(statistics.median(seconds) * 1_000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1_000, 3),
    }


async def measure(url: str, waiting: list[int], done: int) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    async with open_database(url, 2) as database:
        await make_tables(database)
        inserted = 0
        for size in waiting:
            missing = size + CLAIMS * COUNT - inserted
            await add(database, "ready", 1 << 40 | len(results) << 32, missing)
            results.append({"waiting": size, "done": len(results) * CLAIMS * COUNT, **await claim_ms(database)})
            print(url.partition(":")[0], results[-1], flush=True)
            inserted = size
        await add(database, "done", 1, done)
        await add(database, "ready", 1 << 41, CLAIMS * COUNT)
        results.append({"waiting": inserted, "done": done, **await claim_ms(database)})
        print(url.partition(":")[0], results[-1], flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--done", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    clean_up_at_exit()
    waiting = [size for size in (0, 1_000, 10_000, 100_000, 1_000_000) if size <= options.most]
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        sqlite = asyncio.run(measure(f"sqlite:///{folder}/jobs.db", waiting, options.done))
    with postgres() as server:
        postgresql = asyncio.run(measure(server.url, waiting, options.done))
    if options.out is not None:
        save_result(options.out, __doc__, sqlite=sqlite, postgresql=postgresql)
        ticks = [f"{one['waiting']:,}" for one in sqlite[:-1]] + [f"+{options.done / 1e6:g}M done"]
        series = {
            "PostgreSQL": [one["median_ms"] for one in postgresql],
            "SQLite": [one["median_ms"] for one in sqlite],
        }
        chart = line_chart("Claim of ten jobs, by waiting jobs", "milliseconds, median", ticks, series)
        options.out.with_suffix(".svg").write_text(chart)


if __name__ == "__main__":
    main()
