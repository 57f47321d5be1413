"""An identity provider in the process that signs in Ada, unless a test overrides one of its answers."""

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from restwell.auth.oauth import AuthorizationFlows, Identity
from restwell.auth.oauth._facebook import Facebook
from restwell.auth.oauth._github import GitHub
from restwell.auth.oauth._openid import OpenIdProvider
from restwell.auth.oauth._provider import Client, Provider

URL = "https://id.example"
CALLBACK = "https://shop.example/callback"
CLIENT = Client("okta", "shop", "secret", URL)
KINDS: dict[str, type[Provider]] = {"okta": OpenIdProvider, "github": GitHub, "facebook": Facebook}
FLOW = AuthorizationFlows(b"key").start("okta")
KEY = Ed25519PrivateKey.generate()
PUBLIC: dict[str, Any] = {
    "kty": "OKP", "crv": "Ed25519", "kid": "1",
    "x": urlsafe_b64encode(KEY.public_key().public_bytes_raw()).rstrip(b"=").decode(),
}  # fmt: skip
METADATA = {
    "issuer": URL,
    **{f"{name}_endpoint": f"{URL}/{name}" for name in ("authorization", "token", "userinfo")},
    "jwks_uri": f"{URL}/jwks",
}
ADA: dict[str, Any] = {"sub": "1", "email": "ada@example.com", "email_verified": True, "name": "Ada"}

ODD: list[Any] = [None, True, 0, -1, 1.5, 10**4_000, float("nan"), float("inf"), "", "\x00", "\ud800", "é", "\n", [],
[5], {}, {"a": []}]  # fmt: skip
"""JSON values that are not what a field should have."""


def id_token(header: Any = None, claims: Any = None) -> str:
    """A token with a valid signature and any claims."""
    now = int(time.time())
    valid = {"iss": URL, "aud": "shop", "iat": now, "exp": now + 86_400, "nonce": FLOW.nonce, **ADA}
    parts = ({"alg": "Ed25519", "kid": "1"}, valid) if header is None and claims is None else (header, claims)
    merged = [
        {**right, **part} if isinstance(part, dict) else right if part is None else part
        for right, part in zip(({"alg": "Ed25519", "kid": "1"}, valid), parts, strict=True)
    ]
    encoded = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in merged]
    said = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in encoded)
    return (said + b"." + urlsafe_b64encode(KEY.sign(said)).rstrip(b"=")).decode()


def tokens(**more: Any) -> dict[str, Any]:
    return {"access_token": "token", "token_type": "Bearer", "id_token": id_token(), **more}


RIGHT: dict[str, Any] = {
    "/.well-known/openid-configuration": METADATA,
    "/jwks": {"keys": [PUBLIC]},
    "/userinfo": ADA,
    "/login/oauth/access_token": tokens(),
    "/oauth/access_token": tokens(),
    "/api/v3/user": {"id": 1, "login": "ada", "name": "Ada"},
    "/api/v3/user/emails": [{"email": "ada@example.com", "primary": True, "verified": True}],
    "/me": {"id": "1", "name": "Ada", "email": "ada@example.com"},
}


class HostileProvider(httpx.AsyncBaseTransport):
    """Has the overridden responses by path: a status with bytes or JSON. The other responses are valid.

    ``requests`` has the last request of each path.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.requests: dict[str, httpx.Request] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity", "so that nothing small becomes large"
        path = request.url.path
        self.requests[path] = request
        right = tokens() if path == "/token" else RIGHT.get(path, {"error": "not_found"})
        status, answer = self.answers.get(path, (200, right))
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()

        async def parts() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 65_536):
                yield content[start : start + 65_536]

        return httpx.Response(status, headers={"location": "https://evil.example"}, content=parts(), request=request)


@contextmanager
def hostile() -> Iterator[tuple[HostileProvider, Any]]:
    """The provider, and a function that signs in and returns where the browser is sent, and the identity."""
    transport = HostileProvider()
    http = httpx.AsyncClient(transport=transport)

    async def sign_in(name: str, client: Client, issuer: str | None) -> tuple[str, Identity]:
        provider = KINDS[name](client, http)
        sent_to = await provider.authorization_url(FLOW, CALLBACK)
        return sent_to, await provider.identify("code", FLOW, CALLBACK, issuer)

    with asyncio.Runner() as runner:
        yield transport, lambda name="okta", client=CLIENT, issuer=None: runner.run(sign_in(name, client, issuer))
        runner.run(http.aclose())
