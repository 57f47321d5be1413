"""The request id: of the client or a new one, in the response and in the log lines of the request."""

import pytest

from edge_client import request


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
