"""The access log: one line per request, the same with structlog and with a writer of JSON lines."""

from typing import Any

import msgspec
from structlog.testing import capture_logs

from edge_client import request
from restwell.edge._access_log import AccessLog
from restwell.edge._request_id import RequestId
from restwell.observability._logs import JsonLogWriter

SENT = {"x-request-id": "from-the-gateway"}


async def test_each_request_is_logged_in_one_line_without_its_query() -> None:
    with capture_logs() as lines:
        await request()
    (line,) = lines
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/some/path", 200)
    assert (line["route"], line["user_id"], line["client"]) == ("/{anything}", None, "127.0.0.1")
    assert 0 < line["duration_ms"] < 5_000
    assert "hunter2" not in str(line)


async def test_a_writer_of_json_lines_gets_the_same_fields() -> None:
    """Breaks when a field is added to one of the two only."""
    written: list[Any] = []

    class Writer(JsonLogWriter):
        @staticmethod
        def write(line: msgspec.Struct) -> None:
            written.append(msgspec.structs.asdict(line))

    with capture_logs() as logged:
        await request(hooks=[RequestId(), AccessLog(Writer())], headers=SENT)
        await request(hooks=[RequestId(), AccessLog()], headers=SENT)
    [line], [other] = written, logged
    assert (line.pop("event"), line.pop("level")) == (other.pop("event"), other.pop("log_level")) == ("request", "info")
    assert line.pop("timestamp").tzinfo is not None
    for fields in (line, other):
        del fields["duration_ms"]
    assert line == other


async def test_a_request_that_gets_no_response_is_logged_too() -> None:
    async def fail(*_: object) -> None:
        raise ValueError

    with capture_logs() as logged:
        await request(fail)
    assert [(line["event"], line.get("status")) for line in logged if line["event"] == "request"] == [("request", 500)]
