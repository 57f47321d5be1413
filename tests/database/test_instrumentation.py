"""The name of a query appears in traces, in the log line of its failure, and in pg_stat_activity."""

import asyncio

import asyncpg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import literal, select, text
from structlog.testing import capture_logs

from restwell.database import DatabaseBusy, open_database, query
from restwell.database import _instrumentation as instrumentation

one = query("test.one", select(literal(1).label("n")), into=int)
sleep = query("test.sleep", text("SELECT count(pg_sleep(10))"), into=int)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that an OpenTelemetry SDK exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(instrumentation, "_tracer", provider.get_tracer("restwell.database"))
    return exporter


async def test_a_query_is_a_span_of_its_name_below_its_request(empty_url: str, spans: InMemorySpanExporter) -> None:
    async with open_database(empty_url) as database:
        request = TracerProvider().get_tracer("test").start_span("request")
        with trace.use_span(request):
            assert await database.one(one) == 1
    (span,) = (span for span in spans.get_finished_spans() if span.name == "test.one")
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_query_that_fails_is_named_in_the_log_and_while_it_runs_on_the_server(
    empty_url: str, backend: str, spans: InMemorySpanExporter
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
    assert [span.status.status_code.name for span in spans.get_finished_spans() if span.name == "test.sleep"] == [
        "ERROR"
    ]
