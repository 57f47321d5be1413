"""The plans of the queries of operators."""

import pytest

from jobs_harness import JobsHarness
from many_jobs import add_jobs
from restwell.database import explain_queries, find_queries
from restwell.jobs import JobState
from restwell.jobs import _operation_queries as queries


@pytest.mark.slow
async def test_no_query_of_operators_scans_the_jobs(harness: JobsHarness) -> None:
    """Breaks without ``id`` at the end of ``jobs_finished``, and without the index of unfinished jobs."""
    for state in JobState:
        await add_jobs(harness.database, state, 4_000)
    async with harness.database.migration() as tx:
        for statement in ("COMMIT", "VACUUM", "ANALYZE", "BEGIN"):
            await tx.run_script(statement)
    plans = await explain_queries(harness.database, find_queries(queries))
    assert [(plan.query, plan.findings, plan.summary) for plan in plans if plan.findings] == []
