"""An issuer of tokens on a port of this machine, with OpenID Connect and the endpoints of GitHub and Facebook.

It checks the client, the redirect URI, PKCE and the single use of a code. A test replaces any of its responses.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, KeyFlexible

from restwell.auth.oauth._provider import Client

CALLBACK = "https://shop.example/callback"
ADA: dict[str, Any] = {"sub": "1", "email": "ada@example.com", "email_verified": True, "name": "Ada"}
SECRET = "s3cret/with:odd@signs"
METADATA_PATH = "/.well-known/openid-configuration"

Answer = tuple[int, Any] | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""A status with JSON or bytes, or a function that writes the whole response."""


class LoopbackIssuer:
    """``requests`` has method and path of each request, ``heads`` its header, ``published`` the keys of the JWKS."""

    def __init__(self) -> None:
        self.url = ""
        self.key = new_key("1")
        self.published: list[Any] = [self.key.as_dict(private=False)]
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.heads: list[str] = []
        self.claims: dict[str, Any] = {}
        self._codes: dict[str, dict[str, str]] = {}

    @property
    def metadata(self) -> dict[str, Any]:
        endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token", "userinfo")}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **endpoints}

    def client(self, name: str = "okta") -> Client:
        return Client(name, "shop", SECRET, self.url)

    def rotate(self, kid: str) -> None:
        """Sign with a new key, and publish only that."""
        self.key = new_key(kid)
        self.published = [self.key.as_dict(private=False)]

    def count(self, path: str) -> int:
        return sum(request.endswith(f" {path}") for request in self.requests)

    def sign(self, claims: dict[str, Any] | bytes, *, key: KeyFlexible | None = None, **header: Any) -> str:
        """A token with these claims. A header parameter or claim that is None is left out."""
        fields = {"alg": "ES256", "kid": self.key.kid, "typ": "at+jwt", **header}
        payload = claims if isinstance(claims, bytes) else json.dumps(_present(claims)).encode()
        return jws.serialize_compact(_present(fields), payload, key or self.key, [fields["alg"]])

    def access_token(
        self, *, key: KeyFlexible | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token according to RFC 9068 for the audience ``orders``."""
        now = int(time.time())
        valid = {"iss": self.url, "aud": "orders", "sub": "ada", "client_id": "spa", "iat": now, "exp": now + 300}
        return self.sign({**valid, "jti": secrets.token_hex(4), **claims}, key=key, **(header or {}))

    def id_token(self, nonce: str, **claims: Any) -> str:
        now = int(time.time())
        valid = {"iss": self.url, "aud": "shop", "iat": now, "exp": now + 300, "nonce": nonce, **ADA}
        return self.sign({**valid, **self.claims, **claims}, typ="JWT")

    def authorize(self, url: str) -> str:
        """Sign the browser in that was sent to this URL. Returns the code of the response."""
        sent = dict(parse_qsl(urlsplit(url).query))
        assert (sent["client_id"], sent["redirect_uri"], sent["response_type"]) == ("shop", CALLBACK, "code")
        assert sent["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = sent
        return code

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            path = urlsplit(target).path
            self.requests.append(f"{method} {path}")
            self.heads.append(head)
            answer = self.answers.get(path) or self._answer(path, target, head, body.decode())
            if callable(answer):
                await answer(writer)
            else:
                writer.write(_response(*answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, target: str, head: str, body: str) -> tuple[int, Any]:
        right: dict[str, Callable[[], tuple[int, Any]]] = {
            METADATA_PATH: lambda: (200, self.metadata),
            "/jwks": lambda: (200, {"keys": self.published}),
            "/token": lambda: self._exchange(body, head),
            "/login/oauth/access_token": lambda: self._exchange(body, head),
            "/oauth/access_token": lambda: self._exchange(body, head),
            "/userinfo": lambda: (200, ADA),
            "/api/v3/user": lambda: (200, {"id": 1, "login": "ada", "name": "Ada"}),
            "/api/v3/user/emails": lambda: (200, [{"email": ADA["email"], "primary": True, "verified": True}]),
            "/me": lambda: self._facebook_user(target),
        }
        return right[path]() if path in right else (404, {"error": "not_found"})

    def _exchange(self, body: str, head: str) -> tuple[int, Any]:
        form = dict(parse_qsl(body))
        basic = base64.b64encode(b"shop:s3cret%2Fwith%3Aodd%40signs").decode()
        if form.get("client_secret") != SECRET and f"Basic {basic}" not in head:
            return 401, {"error": "invalid_client"}
        sent = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if sent is None or sent["code_challenge"] != challenge or form["redirect_uri"] != CALLBACK:
            return 400, {"error": "invalid_grant"}
        token = {"access_token": "the-access-token", "token_type": "Bearer"}
        return 200, {**token, "id_token": self.id_token(sent["nonce"])} if "nonce" in sent else token

    def _facebook_user(self, target: str) -> tuple[int, Any]:
        proof = hmac.digest(SECRET.encode(), b"the-access-token", "sha256").hex()
        if dict(parse_qsl(urlsplit(target).query)).get("appsecret_proof") != proof:
            return 400, {"error": {"message": "Invalid appsecret_proof"}}
        return 200, {"id": "1", "name": "Ada", "email": ADA["email"]}


@asynccontextmanager
async def loopback_issuer() -> AsyncIterator[LoopbackIssuer]:
    issuer = LoopbackIssuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield issuer


def new_key(kid: str | None) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"} if kid is not None else {"use": "sig"})


async def slow(writer: asyncio.StreamWriter) -> None:
    """One byte at a time, each within the read timeout."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.01)


async def broken(writer: asyncio.StreamWriter) -> None:
    """A response that ends early."""
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"issuer":')
    await writer.drain()


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _response(status: int, body: Any) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
        "location: https://evil.example/\r\nset-cookie: session=ada; Path=/\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content
