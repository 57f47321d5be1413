"""Rate, errors and duration of requests, right over all workers, with bounded series."""

import asyncio
import os
import random
import re
import string
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from edge_client import hello, scope_of, send_request
from restwell.edge._context import Hook, Message, Receive, RequestContext, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.edge._request_metrics import RequestMetrics
from restwell.edge._route import Route
from restwell.edge._router import Router
from restwell.edge._routing import Routing
from restwell.errors import NotFound
from restwell.observability._metrics import Metrics
from restwell.observability._trace import Trace
from servers import RESTWELL, SUPPORT, restwell, serve

ROUTES = [
    Route(method="GET", path="/things/{number}", path_types={"number": int}),
    Route(method="POST", path="/things"),
]
NAME = "http_server_request_duration_seconds"


def openmetrics_families(text: str) -> list[Metric]:
    return [*parse_openmetrics(text)]  # type: ignore[no-untyped-call]  # untyped in prometheus_client


class Traced(Hook):
    """Stands for the hook that starts a trace."""

    def __init__(self) -> None:
        self.trace = Trace("", "", sampled=True)

    def admit(self, context: RequestContext) -> None:
        context.trace = self.trace


class Counted:
    """An edge whose requests are counted."""

    def __init__(self, app: object = hello, *hooks: Hook) -> None:
        self.metrics = RequestMetrics()
        self.edge = Edge(app, [self.metrics, Routing(Router(ROUTES)), *hooks])  # type: ignore[arg-type]
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)

    async def request(self, method: str, path: str) -> list[Message]:
        return await send_request(self.edge, scope_of(method, path))

    def value(self, name: str, method: str, route: str, status: str) -> float | None:
        labels = {"http_request_method": method, "http_route": route, "http_response_status_class": status}
        return self.registry.get_sample_value(name, labels)

    def active(self, method: str) -> float | None:
        return self.registry.get_sample_value("http_server_active_requests", {"http_request_method": method})

    def series(self) -> int:
        return sum(len(family.samples) for family in self.registry.collect())


async def test_requests_are_counted_by_route_template_method_and_status_class() -> None:
    """Breaks when the path is the label instead of its template, and when HEAD counts as GET."""
    counted = Counted()
    for number in range(3):
        await counted.request("GET", f"/things/{number}")
    await counted.request("HEAD", "/things/1")
    await counted.request("OPTIONS", "/things")
    await counted.request("GET", "/elsewhere")
    assert counted.value(f"{NAME}_count", "GET", "/things/{number}", "2xx") == 3
    assert counted.value(f"{NAME}_count", "HEAD", "/things/{number}", "2xx") == 1
    assert counted.value(f"{NAME}_count", "OPTIONS", "", "2xx") == 1
    assert counted.value(f"{NAME}_count", "GET", "", "2xx") == 1
    size = "http_server_response_body_size_bytes"
    assert counted.value(f"{size}_sum", "GET", "/things/{number}", "2xx") == 15
    assert counted.value(f"{size}_count", "GET", "/things/{number}", "2xx") == 3
    assert counted.value(f"{size}_sum", "HEAD", "/things/{number}", "2xx") == 0


async def test_the_duration_includes_the_body_and_falls_into_its_bucket() -> None:
    """Breaks when the duration ends at the start of the response, or when buckets are not cumulative."""

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.03)
        await send({"type": "http.response.body", "body": b"12", "more_body": True})
        await send({"type": "http.response.body", "body": b"345"})

    counted = Counted(slow)
    await counted.request("POST", "/things")
    labels = {"http_request_method": "POST", "http_route": "/things", "http_response_status_class": "2xx"}
    buckets = {
        limit: counted.registry.get_sample_value(f"{NAME}_bucket", {**labels, "le": limit})
        for limit in ("0.025", "10.0", "+Inf")
    }
    assert buckets == {"0.025": 0, "10.0": 1, "+Inf": 1}
    assert 0.03 <= (counted.value(f"{NAME}_sum", "POST", "/things", "2xx") or 0) < 10
    assert counted.value("http_server_response_body_size_bytes_sum", "POST", "/things", "2xx") == 5


async def test_errors_and_answers_of_hooks_are_counted() -> None:
    """Breaks when the hook is not the first: requests that an earlier one answers would be missing."""

    class Refusing(Hook):
        def admit(self, context: RequestContext) -> None:
            if context.method == "POST":
                raise NotFound

    async def fail(*_: object) -> None:
        raise ValueError

    counted = Counted(fail, Refusing())
    (_, body) = await counted.request("POST", "/things")
    await counted.request("GET", "/things/1")
    assert counted.value(f"{NAME}_count", "POST", "/things", "4xx") == 1
    assert counted.value(f"{NAME}_count", "GET", "/things/{number}", "5xx") == 1
    size = counted.value("http_server_response_body_size_bytes_sum", "POST", "/things", "4xx")
    assert size == len(body["body"]) > 0


async def test_a_request_without_a_response_has_no_status_class() -> None:
    """A cancelled request, as at the end of a server. Fails if the gauge is decremented with a response only."""

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    counted = Counted(cancelled)
    with pytest.raises(asyncio.CancelledError):
        await counted.request("GET", "/things/1")
    assert counted.value(f"{NAME}_count", "GET", "/things/{number}", "") == 1
    assert counted.active("GET") == 0


async def test_requests_in_progress_are_counted() -> None:
    """Fails if the gauge is not decremented for a request that fails."""
    started, go = asyncio.Event(), asyncio.Event()

    async def waiting(_scope: Scope, _receive: Receive, _send: Send) -> None:
        started.set()
        await go.wait()
        raise ValueError

    counted = Counted(waiting)
    request = asyncio.create_task(counted.request("GET", "/things/1"))
    await started.wait()
    assert counted.active("GET") == 1
    go.set()
    await request
    assert counted.active("GET") == 0


async def test_10_000_random_paths_and_methods_make_no_new_series() -> None:
    """Fails if the path of an unknown route, or an unknown method, is a label: any client could fill the memory. Also
    if a request with an unknown method stays in progress.
    """
    counted = Counted()
    chosen = random.Random(1)  # noqa: S311  # names, no secrets
    for method in ("GET", "TRACE", "BREW"):
        await counted.request(method, "/nowhere")
    before = counted.series()
    for _ in range(10_000):
        name = "".join(chosen.choices(string.ascii_letters + "/%{}é", k=12))
        method = chosen.choice(["GET", "TRACE", "".join(chosen.choices(string.ascii_uppercase, k=5))])
        await counted.request(method, f"/{name}")
    assert counted.series() == before
    assert counted.active("_OTHER") == 0
    assert counted.value(f"{NAME}_count", "_OTHER", "", "2xx") > 2_000  # type: ignore[operator]  # it exists


async def test_a_newer_sampled_request_replaces_the_exemplar_of_its_bucket() -> None:
    """Fails if a bucket keeps its first example: traces that the collector has deleted long ago."""
    traced = Traced()
    counted = Counted(hello, traced)
    await counted.request("GET", "/things/1")
    (series,) = counted.metrics._series.values()
    series.bounds, series.counts = (), [1]  # one bucket, whatever the machine is doing
    for name in ("a", "b"):
        traced.trace = Trace(name * 32, "", sampled=True)
        await counted.request("GET", "/things/1")
    assert series.examples[0].trace_id == "b" * 32


async def test_the_newest_sampled_request_of_a_bucket_is_its_exemplar_over_all_workers(tmp_path: Path) -> None:
    """Breaks when an example of a request that is not sampled is stored, whose trace does not exist; and when merging
    keeps the first example instead of the newest.
    """
    traced = Traced()
    workers = []
    for _ in range(2):
        counted, metrics = Counted(hello, traced), Metrics(tmp_path)
        metrics.registry.register(counted.metrics)
        workers.append((counted, metrics))
    for number, (counted, _) in enumerate([workers[0], workers[1], workers[0]]):
        traced.trace = Trace(f"{number:032x}", "", sampled=number < 2)
        await counted.request("GET", "/things/1")
    for counted, _ in workers:
        for series in counted.metrics._series.values():  # one bucket, whatever the machine is doing
            series.counts = [0, 0, 0, sum(series.counts), *series.counts[4:]]
            series.examples = {3: next(iter(series.examples.values()))}
    for _, metrics in workers:
        await metrics.start()
    for _, metrics in workers:
        exposed = (await metrics.exposition(openmetrics=True)).decode()
        (family,) = [one for one in openmetrics_families(exposed) if one.name == NAME]
        exemplars = [sample.exemplar for sample in family.samples if sample.exemplar is not None]
        assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": f"{1:032x}"}]
        assert abs(float(exemplars[0].timestamp or 0) - time.time()) < 60
        counts = [sample.value for sample in family.samples if sample.name == f"{NAME}_count"]
        assert counts == [3]
        assert "trace_id" not in (await metrics.exposition()).decode()
    for _, metrics in workers:
        await metrics.close()


@pytest.mark.integration
def test_two_workers_count_together(tmp_path: Path) -> None:
    """Fails if a worker does not add the files of the others in ``_generate``: it then reports about half of the 40."""
    environment = {
        "RESTWELL_APP": "tiny.app:project",
        "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'tiny.db'}",
        "WORKERS": "2",
    }
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    with serve(tmp_path, RESTWELL, "serve", cwd=tmp_path, **environment) as served:
        for _ in range(40):  # each on a connection of its own, so that both workers get some
            assert httpx.get(f"{served.url}/v1/notes?limit=1").status_code == 200
        sent = {"accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}
        found: dict[str, float] = {}
        give_up_at = time.monotonic() + 30
        while found.get("2xx") != 40:
            assert time.monotonic() < give_up_at, found
            time.sleep(0.3)
            answer = httpx.get(f"{served.url}/metrics", headers=sent)
            assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
            assert answer.headers["vary"] == "Accept"
            found = {
                sample.labels["http_response_status_class"]: sample.value
                for family in openmetrics_families(answer.text)
                for sample in family.samples
                if sample.name == f"{NAME}_count" and sample.labels["http_route"] == "/v1/notes"
            }
        assert found == {"2xx": 40}
        plain = httpx.get(f"{served.url}/metrics")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert {family.name for family in text_string_to_metric_families(plain.text)} >= {NAME}
        assert re.search(r'_bucket\{.*http_route="/v1/notes",le="\+Inf"\} 40\.0', plain.text)
