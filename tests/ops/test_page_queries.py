"""The queries of the pages, on tables with many rows."""

import re
from typing import Final

import pytest

from many_jobs import add_jobs
from ops_app import FormBrowser, page_paths
from restwell import App
from restwell.cache import _suspension
from restwell.database import explain_queries, find_queries
from restwell.database._explain import LARGE_TABLE_ROWS
from restwell.database._instrumentation import totals
from restwell.database._query import known_queries
from restwell.jobs import JobState, _operation_queries, _queries

EVENTS: Final = {
    "sqlite": (
        "INSERT INTO security_events (id, type, occurred_at, user_id) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
        " SELECT i + 1 FROM n LIMIT 12000) SELECT randomblob(16), 'signed_in', i, users.id FROM n, users"
    ),
    "postgresql": (
        "INSERT INTO security_events (id, type, occurred_at, user_id)"
        " SELECT gen_random_uuid(), 'signed_in', now(), users.id FROM generate_series(1, 12000) i, users"
    ),
}
UNPLANNED: Final = ("explain.", "migrations.", "cache_peers.")
"""They read the catalogue, and tables with a row for each migration and for each machine."""


@pytest.mark.slow
async def test_no_query_of_a_page_scans_a_table_or_counts_without_a_limit(app: App, admin: FormBrowser) -> None:
    """Opens every page, and looks at the plan of each query that ran.

    Fails without the index ``jobs_finished``, without the limit of ``jobs.counts``, and with a query that
    ``restwell explain`` does not know.
    """
    database = app.kit.database
    for state in JobState:
        await add_jobs(database, state, LARGE_TABLE_ROWS // 2)
    async with database.migration() as tx:
        for statement in (EVENTS[database.dialect], "COMMIT", "VACUUM", "ANALYZE", "BEGIN"):
            await tx.run_script(statement)
    before = {name: total.executions for name, total in totals().items()}
    user_id = (await admin.get("/v1/users/me")).json()["id"]
    lists = [f"/ops/jobs/list?state={state}&name=rare" for state in JobState]
    listed = await admin.open("/ops/jobs/list?state=dead")
    job_path = re.findall(r'"(/ops/jobs/job/[^"]+)"', listed)[0]
    for path in (*page_paths(app), *lists, job_path, f"/ops/security?user={user_id}"):
        await admin.open(path)
    executed = [name for name, total in totals().items() if total.executions > before.get(name, 0)]
    ran = {part for name in executed for part in name.split("+") if not part.startswith(UNPLANNED)}
    assert {"jobs.counts", "jobs.ready_heads", "ops.job_workers", "security_events.page"} <= ran

    explained = {each.name for each in find_queries(_queries, _operation_queries, _suspension)}
    explained |= {each.name for each in app.queries()}
    assert ran - explained == set()
    queries = [known_queries[name] for name in sorted(ran)]
    plans = await explain_queries(database, queries)
    assert [(plan.query, plan.findings, plan.summary) for plan in plans if plan.findings] == []
    counting = [sql for each in queries if "count(" in (sql := each.compiled[database.dialect].sql)]
    assert len(counting) > 3
    for sql in counting:
        assert len(re.findall(r"count\(", sql)) <= len(re.findall(r"LIMIT[^()]*\)", sql)), sql
