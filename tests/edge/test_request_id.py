"""The request id: of the client or a new one, in the response and in the log lines of the request."""

import pytest
import structlog
from structlog.testing import capture_logs

from edge_client import request
from restwell.edge._context import Receive, Scope, Send
from restwell.edge._request_id import LogContext, RequestId


async def test_every_request_gets_a_unique_id() -> None:
    ids = {(await request()).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(request_id) == 36 for request_id in ids)


async def test_a_well_formed_request_id_is_used() -> None:
    assert (await request(headers={"x-request-id": "from-the-gateway.42"})).headers[
        "x-request-id"
    ] == "from-the-gateway.42"


@pytest.mark.parametrize("bad", ["", "short", "a b c d e f", 'quote"quote', "x" * 65, "injected\tline"])
async def test_a_malformed_request_id_is_replaced(bad: str) -> None:
    assert len((await request(headers={"x-request-id": bad})).headers["x-request-id"]) == 36


async def test_the_log_lines_of_a_request_have_its_id_and_those_after_it_none() -> None:
    """Breaks when the id stays bound: the lines of a background task would name a request that has ended."""

    async def log(_scope: Scope, _receive: Receive, send: Send) -> None:
        structlog.get_logger().info("in_request")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        response = await request(log, hooks=[RequestId(), LogContext()])
        structlog.get_logger().info("after_request")
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("in_request", response.headers["x-request-id"]),
        ("after_request", None),
    ]
