"""Read-your-writes: the LSN of a write is returned as a token and required by the next request."""

import httpx

from restwell.database._consistency import ConsistencyTokens, record_lsn, required_lsn
from restwell.edge._context import Receive, Scope, Send
from restwell.edge._pipeline import Edge
from restwell.web._read_your_writes import ReadYourWrites

TOKENS = ConsistencyTokens(b"k" * 32)


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    """Responds with the required LSN. A POST records the LSN 100."""
    body = str(required_lsn()).encode()
    if scope["method"] == "POST":
        record_lsn(100)
        record_lsn(70)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def request(method: str, **headers: str) -> httpx.Response:
    edge = Edge(app, [ReadYourWrites(TOKENS)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="https://app.test") as client:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.request(method, "/", headers=sent)


async def test_a_write_returns_a_consistency_token_that_the_next_request_obeys() -> None:
    written = await request("POST")
    assert written.text == "0"
    token = written.headers["consistency-token"]
    assert written.headers["set-cookie"] == (
        f"consistency-token={token}; Max-Age=30; Path=/; HttpOnly; Secure; SameSite=Lax"
    )
    assert (await request("GET", consistency_token=token)).text == "100"
    assert (await request("GET", cookie=f"theme=dark; consistency-token={token}")).text == "100"


async def test_a_read_returns_no_consistency_token_and_a_forged_one_is_ignored() -> None:
    read = await request("GET")
    assert "consistency-token" not in read.headers
    assert "set-cookie" not in read.headers
    forged = ConsistencyTokens(b"x" * 32).encode(2**62)
    for headers in ({"consistency_token": forged}, {"cookie": f"consistency-token={forged}"}, {"cookie": "theme=dark"}):
        assert (await request("GET", **headers)).text == "0"


async def test_a_write_older_than_the_consistency_token_returns_no_new_one() -> None:
    newer = TOKENS.encode(500)
    assert "consistency-token" not in (await request("POST", consistency_token=newer)).headers
