"""Journeys through every part of the accounts; afterwards their secrets are searched in everything that leaves them."""

import json
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from account_journeys import account_journeys
from accounts_app import PASSWORD, create_app, seed
from contract_apps import migrate, variables
from otlp_receiver import receiving
from restwell.auth import Passwords
from restwell.database import query
from restwell.jobs._tables import jobs
from restwell.observability._log_output import output
from restwell.settings import Settings
from restwell.testing import ApiClient, MailBox, OpenIdProvider, running

SECRET_FIELDS = {
    "password", "current_password", "new_password", "code", "secret", "client_secret", "access_token", "refresh_token",
    "key", "recovery_codes", "uri",
}  # fmt: skip
MIN_CHARS = 6
is_error_code = re.compile("[a-z]+(_[a-z]+)*").fullmatch
job_rows = query("secrets.jobs", select(jobs.c.name, jobs.c.arguments, jobs.c.result).limit(1_000), into=dict)


class Secrets:
    """The secrets of each request and response, as an observer of the client finds them."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    async def of_request(self, request: httpx.Request) -> None:
        self._add("authorization", request.headers.get("authorization", "").partition(" ")[2])
        for cookie in request.headers.get("cookie", "").split("; "):
            self._add("cookie", cookie.partition("=")[2])
        for name, value in request.url.params.items():
            if name in {"code", "state"}:
                self._add(f"query {name}", value)
        self._add_body(request.content)

    async def of_response(self, response: httpx.Response) -> None:
        await response.aread()
        for cookie in response.headers.get_list("set-cookie"):
            self._add("set-cookie", re.split("[=;]", cookie)[1])
        self._add_body(response.content)

    def _add_body(self, content: bytes) -> None:
        try:
            body = json.loads(content)
        except ValueError:
            body = dict(httpx.QueryParams(content.decode("latin-1")))
        for name, value in _fields(body):
            if name in SECRET_FIELDS and not str(value).startswith("http"):
                self._add(name, str(value))

    def _add(self, name: str, value: str) -> None:
        if len(value) >= MIN_CHARS and not is_error_code(value):
            self.found[value] = name


def _fields(body: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(body, dict):
        for key, value in body.items():
            yield from _fields(value, key)
    elif isinstance(body, list):
        for value in body:
            yield from _fields(value, name)
    elif isinstance(body, str):
        yield name, body


async def test_no_secret_of_an_account_is_in_logs_traces_metrics_reports_or_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Breaks when a job has a code as its argument, or a span the URL of a callback."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 8, "passes": 1})
    secrets, mail_box, reports = Secrets(), MailBox(tmp_path / "mails"), tmp_path / "reports"
    reports.mkdir()
    with OpenIdProvider() as provider, receiving(tmp_path) as receiver, capture_logs() as lines:
        services = {
            "SMTP_URL": f"folder:{tmp_path}/mails",
            "OAUTH_PROVIDERS": provider.setting("okta"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "METRICS_DIR": str(reports),
            "RATE_LIMIT_SCALE": "0",
        }
        app = create_app(Settings.load(variables(tmp_path) | services))
        await migrate(app, seed)
        names = {"admin": "admin@app.example", "member": "member@app.example", "password": PASSWORD}
        async with running(app) as client:
            client.event_hooks = {"request": [secrets.of_request], "response": [secrets.of_response]}
            for journey in account_journeys(app, mail_box, provider, **names):
                await journey(ApiClient(client))
            outputs = {
                "metrics": (await app.kit.metrics.exposition()).decode(),
                "reports": str(app.kit.metrics.reports.own()),
                "jobs": str(await app.kit.database.all(job_rows)),
            }
        output.flush()
        logs = [*map(_rendered, lines), *capfd.readouterr()]
        outputs |= {"logs": "\n".join(logs), "traces": json.dumps(receiver.spans)}
    kinds = set(secrets.found.values())
    assert {"authorization", "cookie", "current_password", "code", "secret", "refresh_token"} <= kinds
    assert len(secrets.found) > 30
    assert "sessions" in outputs["traces"]
    assert "send_welcome" in outputs["jobs"]
    assert '"event":"request"' in outputs["logs"]
    leaked = {(name, kind) for value, kind in secrets.found.items() for name, text in outputs.items() if value in text}
    assert leaked == set()


def _rendered(line: Any) -> str:
    error = line.get("exc_info")
    text = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
    return msgspec.json.encode(line, enc_hook=repr).decode() + text
