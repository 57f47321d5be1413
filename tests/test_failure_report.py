"""A failed test shows the request, the response and the log lines of that request."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servers import ROOT, SUPPORT

pytestmark = pytest.mark.integration

FAILING = """
import httpx
from msgspec import Struct

from pathlib import Path
from restwell.observability._log_output import output
from servers import Served


class Line(Struct):
    event: str
    request_id: str


async def app(scope, receive, send):
    request_id = "id-of-" + scope["path"].strip("/")
    output.write(Line("stored", request_id))
    await send({"type": "http.response.start", "status": 409, "headers": [(b"x-request-id", request_id.encode())]})
    await send({"type": "http.response.body", "body": b"out of stock" + b"." * 600})


async def ask(path, text):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app.test") as client:
        return await client.post(path, content=text)


async def test_fails():
    for number in range(7):
        await ask(f"/{number}", f"body {number}")
    for number in range(50):
        print("line", number)
    try:
        httpx.get("http://127.0.0.1:9/nobody")
    except httpx.ConnectError:
        pass
    assert (await ask("/orders", "two lamps")).status_code == 201


async def test_fails_with_the_first_request():
    log = Path("server.log")
    log.write_text("serving\\nrefused id-of-first\\n")
    served = Served(None, "http://server.test", log)
    assert (await ask("/first", "")).status_code == 201
"""


def report_of(folder: Path, *options: str) -> str:
    (folder / "test_it.py").write_text(FAILING)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "failure_report",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-o",
        "asyncio_mode=auto",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*command, *options, "test_it.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert "2 failed" in done.stdout, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_of(tmp_path_factory.mktemp("report"))


def test_a_failed_test_shows_its_last_requests_their_responses_and_their_log_lines(report: str) -> None:
    """Breaks when exchanges of an earlier test are shown, or when a log line is missing below its request."""
    _, several, first = report.split("HTTP, the last exchange at the end")
    *earlier, last = several.partition("- Captured stdout call")[0].strip("- \n").split("\n\n")
    lines = last.splitlines()
    assert lines[:3] == ["> POST http://app.test/orders", "  two lamps", "< 409 Conflict, request id id-of-orders"]
    assert lines[3] == "  out of stock" + "." * 488 + "..."
    assert lines[4:] == ['{"event":"stored","request_id":"id-of-orders"}']
    assert [exchange.splitlines()[0] for exchange in earlier] == [
        "> POST http://app.test/4",
        "> POST http://app.test/5",
        "> POST http://app.test/6",
        "> GET http://127.0.0.1:9/nobody",
    ]
    assert "ConnectError" in earlier[-1]
    assert re.findall("> (.*)", first) == ["POST http://app.test/first"]


def test_a_failed_test_shows_what_its_servers_have_written(report: str) -> None:
    _, _, first = report.split("HTTP, the last exchange at the end")
    http, _, server = first.partition("- Output of the server http://server.test -")
    assert http.strip("- \n").splitlines()[-2:] == [
        '{"event":"stored","request_id":"id-of-first"}',
        "refused id-of-first",
    ]
    assert server.strip("- \n").splitlines()[0] == "serving"
    assert "refused" not in server


def test_a_failed_test_shows_the_end_of_its_output_unless_all_is_asked_for(report: str, tmp_path: Path) -> None:
    assert "\nline 49\n" in report
    assert "\nline 19\n" not in report
    assert "lines before: -vv)" in report
    assert "\nline 0\n" in report_of(tmp_path, "-vv")
