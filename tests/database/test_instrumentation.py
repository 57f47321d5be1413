"""The name of a query appears in traces, in the log line of its failure, and in pg_stat_activity."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, literal, select, text
from structlog.testing import capture_logs

from restwell.database import DatabaseBusy, open_database, query
from restwell.observability._trace import Trace, current, span

one = query("test.one", select(literal(1).label("n")), into=int)
pens = Table("pens", MetaData(), Column("id", Integer, primary_key=True), Column("name", Text))
pen_by_id = query(
    "test.pen_by_id", select(pens.c.id, pens.c.name).where(pens.c.id == bindparam("id")), into=dict, batch_on="id"
)
sleep = query("test.sleep", text("SELECT count(pg_sleep(10))"), into=int)


@pytest.fixture
def trace() -> Iterator[Trace]:
    found = Trace("a" * 32, "b" * 16)
    current.set((found, found.span_id, None))
    yield found
    current.set(None)


async def test_a_query_is_a_span_of_its_name_and_its_time_counts(empty_url: str, trace: Trace) -> None:
    async with open_database(empty_url) as database:
        await database.one(one)
        with span("outer", "internal"):
            await asyncio.gather(database.one(one), database.one(one))
    queries = [each for each in trace.spans if each[0] == "test.one"]
    outer = next(each for each in trace.spans if each[0] == "outer")
    assert [each[5] for each in queries] == [trace.span_id, outer[6], outer[6]]
    assert {each[1] for each in queries} == {"query"}
    assert trace.db_seconds == pytest.approx(sum(end - start for _, _, start, end, *_ in queries))


async def test_each_caller_of_a_batched_read_has_a_span_of_its_own(empty_url: str) -> None:
    """Breaks when the statement is a span of the caller that began the batch only."""
    async with open_database(empty_url) as database:
        async with database.transaction() as tx:
            await tx.run_script("CREATE TABLE pens (id INTEGER PRIMARY KEY, name TEXT)")
            await tx.run_script("INSERT INTO pens VALUES (1, 'red'), (2, 'blue')")

        async def read(number: int) -> Trace:
            trace = Trace(f"{number:032}", f"{number:016}")
            current.set((trace, trace.span_id, None))
            await database.find(pen_by_id, id=number)
            return trace

        traces = await asyncio.gather(read(1), read(2), read(3))
    assert [[(each[0], each[1]) for each in trace.spans] for trace in traces] == [[("test.pen_by_id", "query")]] * 3
    assert all(trace.db_seconds > 0 for trace in traces)


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_query_that_fails_is_named_in_the_log_and_while_it_runs_on_the_server(
    empty_url: str, backend: str, trace: Trace
) -> None:
    assert backend in empty_url
    async with open_database(empty_url, timeout_seconds=1) as database:
        running = asyncio.create_task(database.one(sleep))
        await asyncio.sleep(0.3)
        outside = await asyncpg.connect(empty_url)
        seen = await outside.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* test.sleep */'")
        await outside.close()
        assert seen == 1
        with capture_logs() as lines, pytest.raises(DatabaseBusy):
            await running
    (line,) = (line for line in lines if line["event"] == "query_failed")
    assert line["query"] == "test.sleep"
    assert "statement timeout" in line["cause"]
    assert [(each[0], each[4]) for each in trace.spans] == [("test.sleep", "DatabaseBusy")]
