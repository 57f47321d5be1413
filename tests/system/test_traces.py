"""Traces of real processes: two servers and a job worker export to a real collector, also at their end."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

import sample_jobs
from environments import migrated
from jobs_harness import open_harness
from otlp_receiver import Receiver, receiving
from restwell.database import query
from restwell.jobs._tables import jobs
from restwell.observability._trace import Trace, current
from servers import RESTWELL, serve, wait_until, working

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENT = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-00"}
SECRETS = {
    "query": "query-secret-9f1",
    "cookie": "cookie-secret-9f2",
    "header": "header-secret-9f3",
    "body": "body-secret-9f4",
    "basic": "basic-secret-9f5",
}


@pytest.fixture
async def tiny(tmp_path: Path) -> dict[str, str]:
    return {**await migrated(tmp_path / "tiny.db", "tiny.app"), "FILES_DIR": str(tmp_path / "files")}


def spans_of(receiver: Receiver, trace_id: str) -> dict[str, dict[str, Any]]:
    return {span["name"]: span for span in receiver.spans if span["trace_id"] == trace_id}


def test_a_request_and_its_job_in_other_processes_are_one_trace(tmp_path: Path, tiny: dict[str, str]) -> None:
    """Breaks when SIGTERM ends a process before its traces are sent, and when a job begins a new trace."""
    with receiving(tmp_path) as receiver:
        env = {
            **tiny,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "OTEL_RESOURCE_ATTRIBUTES": "team=billing",
            "WORKERS": "2",
        }
        log = tmp_path / "log"
        log.mkdir()
        with serve(log, RESTWELL, "serve", cwd=tmp_path, **env) as served:
            with working(log, cwd=tmp_path, **env) as worker:
                headers = {"authorization": "Bearer owner", "idempotency-key": "the-key-of-this", **SENT}
                answer = httpx.post(f"{served.url}/v1/reminders", json={"text": "later"}, headers=headers)
                assert answer.status_code == 202
                wait_until(lambda: len(httpx.get(f"{served.url}/v1/notes").json()["items"]) == 1, served.process)
                worker.process.send_signal(signal.SIGTERM)
                assert worker.process.wait(15) == 0
            for _ in range(20):
                httpx.get(f"{served.url}/health/live")
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(15) == 0
        spans = spans_of(receiver, TRACE_ID)
        assert spans["POST /v1/reminders"]["parent_id"] == "00f067aa0ba902b7"
        assert spans["enqueue add_reminder"]["parent_id"] == spans["POST /v1/reminders"]["span_id"]
        assert spans["job add_reminder"]["parent_id"] == spans["enqueue add_reminder"]["span_id"]
        assert spans["notes.add"]["parent_id"] == spans["job add_reminder"]["span_id"]
        assert "GET /v1/notes" in {span["name"] for span in receiver.spans}
        assert not any("health" in str(span["attributes"]) for span in receiver.spans)
        instances = {request["resource"]["service.instance.id"] for request in receiver.requests}
        assert len(instances) >= 2
        resource = receiver.requests[0]["resource"]
        assert (resource["service.name"], resource["team"]) == ("tiny", "billing")
    lines = [json.loads(line) for line in served.output.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "request" and line["method"] == "POST"]
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, spans["POST /v1/reminders"]["span_id"])
    assert line["db_ms"] > 0
    lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line["event"] == "job"]
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, spans["job add_reminder"]["span_id"])


@pytest.mark.parametrize("collector", ["dead", "slow", "refusing"])
def test_a_collector_that_fails_delays_no_request_and_not_the_end(
    tmp_path: Path, tiny: dict[str, str], collector: str
) -> None:
    """Breaks when the export happens in the event loop, or the end waits for the collector."""
    with receiving(tmp_path, status=503, seconds=30 if collector == "slow" else 0) as receiver:
        env = {
            **tiny,
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1" if collector == "dead" else receiver.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "WORKERS": "1",
            "RATE_LIMIT_SCALE": "0",
        }
        log = tmp_path / "log"
        log.mkdir()
        with serve(log, RESTWELL, "serve", cwd=tmp_path, **env) as served, httpx.Client() as client:
            slowest = 0.0
            for _ in range(1_000):
                began = time.monotonic()
                assert client.get(f"{served.url}/v1/notes/greeting").status_code == 200
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 0.5
            metrics = httpx.get(f"{served.url}/metrics").text
            dropped = re.findall(r'^restwell_traces_dropped_total\{reason="\w+"\} (\S+)$', metrics, re.MULTILINE)
            assert sum(map(float, dropped)) > 100
            began = time.monotonic()
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(15) == 0
            assert time.monotonic() - began < 8


def test_no_secret_of_a_request_is_in_any_output(tmp_path: Path, tiny: dict[str, str]) -> None:
    """Breaks when a span has the whole URL, or a log line the headers."""
    with receiving(tmp_path) as receiver:
        metrics_dir = tmp_path / "metrics"
        metrics_dir.mkdir()
        env = {
            **tiny,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=collector-secret-9f6",
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "METRICS_DIR": str(metrics_dir),
            "JWT_SECRET": "jwt-secret-9f7-0123456789-abcdefghijklmnop",
            "WORKERS": "1",
        }
        log = tmp_path / "log"
        log.mkdir()
        with serve(log, RESTWELL, "serve", cwd=tmp_path, **env) as served:
            headers = {"x-card": SECRETS["header"], "cookie": f"session={SECRETS['cookie']}"}
            for path, status in (("notes", 200), ("notes/1/broken", 500), ("secrets", 404), ("account", 401)):
                url = f"{served.url}/v1/{path}?code={SECRETS['query']}"
                token = {"authorization": f"Bearer {SECRETS['basic']}"}
                assert httpx.get(url, headers={**headers, **token}).status_code == status
            body = {"text": "x", "password": SECRETS["body"]}
            assert httpx.post(f"{served.url}/v1/notes", json=body, headers=headers).status_code == 422
            account = f"{served.url}/v1/account"
            assert httpx.get(account, auth=("user", SECRETS["basic"]), headers=headers).status_code == 401
            wait_until(lambda: b"/v1/notes/{number}/broken" in reports(metrics_dir), served.process)
            outputs = {
                "metrics": httpx.get(f"{served.url}/metrics").text.encode(),
                "reports": reports(metrics_dir),
            }
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(15) == 0
        outputs |= {
            "logs": served.output.encode(),
            "traces": json.dumps([r["spans"] for r in receiver.requests]).encode(),
        }
    assert b"/v1/notes/{number}/broken" in outputs["traces"]
    assert b"/v1/notes/{number}/broken" in outputs["logs"]
    secrets = [*SECRETS.values(), "collector-secret-9f6", "jwt-secret-9f7", "hunter2"]
    assert [(name, each) for name, text in outputs.items() for each in secrets if each.encode() in text] == []


def reports(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("*.metrics"))


@pytest.fixture
async def isolated_job(tmp_path: Path) -> dict[str, str]:
    """A job of a trace that is waiting, and runs in a process of its own because a worker died with it."""
    env = await migrated(tmp_path / "jobs.db", "jobs_app.app")
    async with open_harness(env["DATABASE_URL"], sample_jobs.ALL, make=False) as harness:
        trace = Trace(TRACE_ID, "00f067aa0ba902b7", sampled=True)
        current.set((trace, trace.span_id, None))
        await harness.enqueue(sample_jobs.note, text="isolated")
        current.set(None)
        await harness.database.run(query("traces.isolate", update(jobs).values(isolated=True)))
    return env


def test_a_job_in_a_process_of_its_own_is_one_span(tmp_path: Path, isolated_job: dict[str, str]) -> None:
    """Breaks when that process does not send its traces, or the worker traces the attempt too."""
    log = tmp_path / "log"
    log.mkdir()
    with receiving(tmp_path) as receiver:
        env = {**isolated_job, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_TRACES_SAMPLER_ARG": "0"}
        with working(log, cwd=tmp_path, **env) as worker:
            wait_until(lambda: "job note" in receiver.text, worker.process)
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(15) == 0
        names = [span["name"] for span in receiver.spans if span["trace_id"] == TRACE_ID]
    assert names.count("job note") == 1
    assert len(names) > 1, "the queries of the job"
