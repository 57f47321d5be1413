"""The spans of an application, and the set-ups that docs/tracing.md describes."""

import re
from pathlib import Path

import pytest

from otlp_receiver import receiving
from restwell import Restwell
from restwell.observability._recent_requests import EndedRequest
from restwell.observability._trace import Trace, current, new_ids
from restwell.settings import Settings
from restwell.tracing import span
from servers import ROOT

GUIDE = (ROOT / "docs/tracing.md").read_text()
SETUPS = dict(re.findall(r"^### ([^\n]+)\n.*?```sh\n(.*?)```", GUIDE, re.MULTILINE | re.DOTALL))


def test_a_span_of_the_application_is_in_the_trace() -> None:
    trace = Trace("a" * 32, "b" * 16)
    current.set((trace, trace.span_id, None))
    with span("resize image", width=400) as resize:
        assert resize.headers["traceparent"].startswith(f"00-{'a' * 32}-")
    current.set(None)
    ((name, kind, *_, attributes),) = trace.spans
    assert (name, kind, attributes) == ("resize image", "internal", {"width": 400})
    with span("outside"):
        pass


def test_the_guide_has_the_usual_vendors() -> None:
    vendors = {"New Relic", "Datadog", "Datadog without an Agent", "Grafana", "Sentry"}
    assert set(SETUPS) == {"A collector", *vendors}
    assert GUIDE.count("OTEL_SERVICE_NAME=") == len(SETUPS), "each heading has one"


@pytest.mark.slow
@pytest.mark.parametrize("vendor", SETUPS)
async def test_the_environment_of_the_guide_exports_to_a_receiver(vendor: str, tmp_path: Path) -> None:
    """Fails if a line of the guide names no setting, or its headers are not sent, general ones or those of traces."""
    env = dict(line.split("=", 1) for line in SETUPS[vendor].strip().splitlines())
    assert set(env) <= {"_".join(path).upper() for path in Settings.paths()}
    env["DATABASE_URL"] = f"sqlite:///{tmp_path / 'app.db'}"
    documented = Settings.load(env).otel
    assert documented.traces_url is not None
    path = "/" + documented.traces_url.split("/", 3)[3]
    with receiving(tmp_path) as receiver:
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            if name in env:
                env[name] = re.sub(r"^https?://[^/]+", receiver.url, env[name])
        kit = Restwell(Settings.load(env), name="guide")
        await kit.start()
        try:
            trace = Trace(*new_ids(), sampled=True)
            _end_request(kit, trace)
        finally:
            await kit.close()
        (sent,) = receiver.requests
    assert sent["path"] == path
    headers = {
        **documented.pairs(documented.exporter_otlp_headers),
        **documented.pairs(documented.exporter_otlp_traces_headers),
    }
    assert bool(headers) == any("HEADERS" in name for name in env)
    for name, value in headers.items():
        assert sent["headers"][name.lower()] == value
    assert sent["resource"]["service.name"] == env.get("OTEL_SERVICE_NAME", "guide")
    assert [each["trace_id"] for each in sent["spans"]] == [trace.trace_id]


@pytest.mark.slow
async def test_the_headers_of_traces_replace_the_general_ones(tmp_path: Path) -> None:
    """Fails if both are sent: a vendor would get the key of another one."""
    with receiving(tmp_path) as receiver:
        env = {
            "DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=general",
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-sentry-auth=sentry sentry_key=public",
        }
        kit = Restwell(Settings.load(env), name="guide")
        await kit.start()
        try:
            _end_request(kit, Trace(*new_ids(), sampled=True))
        finally:
            await kit.close()
        (sent,) = receiver.requests
    assert sent["headers"]["x-sentry-auth"] == "sentry sentry_key=public"
    assert "api-key" not in sent["headers"]


def _end_request(kit: Restwell, trace: Trace) -> None:
    ended = EndedRequest(trace, 0.0, 0.1, 1_800_000_000.0, "GET", "/", "/", "https", 200, None)
    assert kit.traces.end(trace, 0.1, 200)
    kit.traces.keep_request(ended)
