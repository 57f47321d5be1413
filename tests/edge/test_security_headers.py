"""Security headers of every response, and those that a response may set itself."""

from edge_client import request
from restwell.edge._context import Receive, Scope, Send

POLICY = "default-src 'none'; frame-ancestors 'none'"


async def test_every_response_has_security_headers_and_names_no_server() -> None:
    headers = (await request()).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["strict-transport-security"].startswith("max-age=63072000")
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["server"] == ""


async def test_a_response_keeps_its_own_security_policy_and_cache_control() -> None:
    async def own_rules(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-security-policy", b"default-src 'self'"), (b"cache-control", b"max-age=60")]
        headers.append((b"cross-origin-resource-policy", b"cross-origin"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    headers = (await request(own_rules)).headers
    assert headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert headers.get_list("cache-control") == ["max-age=60"]
    assert headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
