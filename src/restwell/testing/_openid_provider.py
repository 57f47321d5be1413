"""An OpenID Connect provider and OAuth 2.0 authorization server on loopback. Needs the extra ``auth``."""

import hashlib
import json
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey
from msgspec import Struct

from restwell._base64url import encode

TOKEN_SECONDS: Final = 300


class ProviderRequest(Struct, frozen=True):
    """A request to the provider. ``parameters`` are those of the query, or of the form of a POST."""

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


class ProviderResponse(Struct, frozen=True):
    """``body`` is text, or is encoded as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


class OpenIdProvider:
    """Signs in each browser at once, as the person of the last ``sign_in_as``. Runs in a thread, in a ``with`` block.

    It checks the redirect URI, the client, PKCE, and that a code is used once. Its tokens are signed with ES256.

    ``redirect_uri`` is the registered one; None accepts any. ``denies``: the person does not consent. ``is_down``: each
    response is a 503.
    """

    def __init__(self, *, client_id: str = "client", client_secret: str = "", redirect_uri: str | None = None) -> None:
        self.client_id = client_id
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.redirect_uri = redirect_uri
        self.denies = False
        self.is_down = False
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        """The issuer."""
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._routes: dict[tuple[str, str], Callable[[ProviderRequest], ProviderResponse]] = {
            ("GET", "/.well-known/openid-configuration"): self._discover,
            ("GET", "/.well-known/oauth-authorization-server"): self._discover,
            ("GET", "/jwks"): self._publish_keys,
            ("GET", "/authorize"): self._authorize,
            ("POST", "/token"): self._exchange_code,
            ("GET", "/userinfo"): self._userinfo,
        }
        self._person: dict[str, Any] = {}
        self._codes: dict[str, Mapping[str, str]] = {}
        self._people: dict[str, dict[str, Any]] = {}
        self.sign_in_as("248289761001", email="ada@example.com", name="Ada Lovelace")
        self.rotate_key()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def setting(self, name: str) -> str:
        """The entry of OAUTH_PROVIDERS with which the application uses this provider as ``name``."""
        client = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
        return f"{name}={self.url.replace('://', f'://{client}@')}"

    def sign_in_as(
        self, sub: str, *, email: str | None = None, email_verified: bool = True, name: str | None = None, **claims: Any
    ) -> None:
        """Sign in this person from now on. ``sub`` is the identity, ``claims`` are more claims of the ID token."""
        named = {"sub": sub, "email": email, "email_verified": email_verified, "name": name}
        self._person = _without_none({**named, **claims})

    def rotate_key(self) -> None:
        """Sign with a new key. The old one is no longer published."""
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(8), "use": "sig", "alg": "ES256"})

    def access_token(
        self, *, sub: str, audience: str, scope: str = "", lifetime_seconds: int = TOKEN_SECONDS, **claims: Any
    ) -> str:
        """A token for a resource server (RFC 9068). ``scope`` has scopes with spaces between; None removes a claim."""
        now = int(time.time())
        valid = {
            "iss": self.url,
            "sub": sub,
            "aud": audience,
            "client_id": self.client_id,
            "iat": now,
            "exp": now + lifetime_seconds,
            "jti": secrets.token_urlsafe(16),
            "scope": scope or None,
        }
        return self._sign({**valid, **claims}, typ="at+jwt")

    def _respond(self, request: ProviderRequest) -> ProviderResponse:
        respond = self._routes.get((request.method, request.path))
        if self.is_down:
            return ProviderResponse({"error": "temporarily_unavailable"}, 503)
        return ProviderResponse({"error": "not_found"}, 404) if respond is None else respond(request)

    def _publish_keys(self, _: ProviderRequest) -> ProviderResponse:
        return ProviderResponse({"keys": [self._key.as_dict(private=False)]})

    def _discover(self, _: ProviderRequest) -> ProviderResponse:
        return ProviderResponse(self._metadata())

    def _metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0, 3; RFC 8414, 2."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _authorize(self, request: ProviderRequest) -> ProviderResponse:
        asked = request.parameters
        right = {
            "client_id": asked.get("client_id") == self.client_id,
            "redirect_uri": "redirect_uri" in asked and self.redirect_uri in {None, asked["redirect_uri"]},
            "response_type": asked.get("response_type") == "code",
            "state": bool(asked.get("state")),
            "code_challenge_method": asked.get("code_challenge_method") == "S256",
            "code_challenge": len(asked.get("code_challenge", "")) == 43,
        }
        if wrong := [name for name, is_right in right.items() if not is_right]:
            return _refusal("invalid_request", f"wrong parameters: {', '.join(wrong)}")
        answer = {"state": asked["state"], "iss": self.url}
        if self.denies:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self._codes[answer["code"]] = asked
        return ProviderResponse("", 302, {"location": f"{asked['redirect_uri']}?{urlencode(answer)}"})

    def _is_client(self, request: ProviderRequest) -> bool:
        basic = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"  # RFC 6749 2.3.1
        return request.headers.get("authorization") == f"Basic {b64encode(basic.encode()).decode()}"

    def _exchange_code(self, request: ProviderRequest) -> ProviderResponse:
        form = request.parameters
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if not self._is_client(request):
            return _refusal("invalid_client", "wrong client or secret", 401)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return _refusal("invalid_grant", "unknown or used code, or another redirect_uri")
        if encode(digest) != asked["code_challenge"]:
            return _refusal("invalid_grant", "wrong code_verifier")
        token = secrets.token_urlsafe(16)
        self._people[token] = self._person
        id_token = self._id_token(asked.get("nonce"))
        return ProviderResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "id_token": id_token}
        )

    def _id_token(self, nonce: str | None) -> str:
        now = int(time.time())
        valid = {"iss": self.url, "aud": self.client_id, "iat": now, "exp": now + TOKEN_SECONDS, "nonce": nonce}
        return self._sign({**valid, **self._person})

    def _sign(self, claims: dict[str, Any], *, typ: str = "JWT") -> str:
        header = {"alg": "ES256", "typ": typ, "kid": self._key.kid}
        return jwt.encode(header, _without_none(claims), self._key, algorithms=["ES256"])

    def _userinfo(self, request: ProviderRequest) -> ProviderResponse:
        person = self._people.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        return _refusal("invalid_token", "unknown token", 401) if person is None else ProviderResponse(person)


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, provider: OpenIdProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:  # name of the base class
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:  # as above
        self._answer(self.rfile.read(int(self.headers["content-length"])).decode())

    def _answer(self, parameters: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = ProviderRequest(self.command, urlsplit(self.path).path, dict(parse_qsl(parameters)), headers)
        response = self.server.provider._respond(request)  # noqa: SLF001  # of the same module
        is_text = isinstance(response.body, str)
        body = (response.body if is_text else json.dumps(response.body)).encode()
        self.send_response(response.status)
        kind = "text/html; charset=utf-8" if is_text else "application/json"
        for name, value in {"content-type": kind, "content-length": str(len(body)), **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


def _refusal(error: str, description: str, status: int = 400) -> ProviderResponse:
    return ProviderResponse({"error": error, "error_description": description}, status)
