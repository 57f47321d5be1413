"""An identity provider in a separate process: OpenID Connect, and the OAuth endpoints of GitHub and Facebook.

It validates the redirect URI, PKCE, the client secret, one use per code, and that only browsers send cookies. Tests
inject faults with ``misbehave``.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from servers import assert_allowed, free_port

BROWSERS = ("/authorize", "/login/oauth/authorize", "/dialog/oauth")
CLIENT_ID, CLIENT_SECRET = "shop client", "s3cret/with:odd@signs"
ADA = {"sub": "248289761001", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"}


class ProviderProcess:
    """``url`` is the issuer. Every browser is signed in immediately as ``person``."""

    def __init__(self, port: int, redirect_uri: str) -> None:
        assert_allowed()
        command = [sys.executable, __file__, str(port), redirect_uri]
        path = os.pathsep.join(sys.path)  # this file imports a helper of the other suite
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path})
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def register_redirect_uri(self, redirect_uri: str) -> None:
        """Replace the registered redirect URI."""
        self._set("redirect_uri", redirect_uri)

    def sign_in_as(self, **claims: Any) -> None:
        self._set("person", claims)

    def misbehave(self, **how: Any) -> None:
        """Inject faults.

        ``claims`` override ID token claims, None removes one. ``key``: stranger, secret or none. ``fail``: a status of
        the token endpoint. ``ask`` or ``deny`` consent. ``metadata`` and ``userinfo`` override those. ``answers``:
        responses by path, as text or JSON. ``rotate`` the signing key.
        """
        self._set("how", how)

    def _set(self, name: str, value: Any) -> None:
        httpx.post(f"{self.url}/test/{name}", json=value).raise_for_status()


@contextmanager
def openid_provider(redirect_uri: str) -> Iterator[ProviderProcess]:
    """A provider with one client and one redirect URI."""
    process = ProviderProcess(free_port(), redirect_uri)
    try:
        yield process
    finally:
        process.stop()


class Handler(BaseHTTPRequestHandler):
    issuer: ClassVar[str]
    redirect_uri: ClassVar[str]
    person: ClassVar[dict[str, Any]] = dict(ADA)
    how: ClassVar[dict[str, Any]] = {}
    codes: ClassVar[dict[str, dict[str, str]]] = {}
    tokens: ClassVar[dict[str, dict[str, Any]]] = {}
    key: ClassVar[ECKey] = ECKey.generate_key("P-256", {"kid": "1", "use": "sig"})

    def do_GET(self) -> None:  # name of the base class
        if self._refuse_cookie():
            return
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path in self.how.get("answers", {}):
            self._answer(self.how["answers"][url.path])
            return
        match url.path:
            case "/.well-known/openid-configuration":
                self._answer({**self._metadata(), **self.how.get("metadata", {})})
            case "/jwks":
                self._answer({"keys": [self.key.as_dict(private=False)]})
            case "/authorize" | "/login/oauth/authorize" | "/dialog/oauth":
                self._authorize(asked)
            case "/userinfo":
                self._answer({**self._bearer(), **self.how.get("userinfo", {})})
            case "/api/v3/user":
                person = self._bearer()
                self._answer({"id": int(person["sub"]), "login": "ada", "name": person["name"]})
            case "/api/v3/user/emails":
                person = self._bearer()
                other = {"email": "old@example.com", "primary": False, "verified": True}
                own = {"email": person["email"], "primary": True, "verified": person["email_verified"]}
                self._answer([other, own])
            case "/me":
                token = self.headers["authorization"].removeprefix("Bearer ")
                proof = hmac.digest(CLIENT_SECRET.encode(), token.encode(), "sha256").hex()
                person = self._bearer()
                right = {"id": person["sub"], "name": person["name"], "email": person["email"]}
                self._answer(*((right,) if asked.get("appsecret_proof") == proof else ({"error": "no proof"}, 400)))
            case _:
                self._answer({"error": "not_found"}, 404)

    def do_POST(self) -> None:  # as above
        body = self.rfile.read(int(self.headers["content-length"]))
        if self._refuse_cookie():
            return
        match self.path:
            case "/test/person":
                type(self).person = json.loads(body)
                self._answer({})
            case "/test/redirect_uri":
                type(self).redirect_uri = json.loads(body)
                self._answer({})
            case "/test/how":
                type(self).how = json.loads(body)
                if self.how.get("rotate"):
                    type(self).key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "use": "sig"})
                self._answer({})
            case path if path in self.how.get("answers", {}):
                self._answer(self.how["answers"][path])
            case "/token" | "/login/oauth/access_token" | "/oauth/access_token":
                self._exchange_code({name: values[0] for name, values in parse_qs(body.decode()).items()})
            case _:
                self._answer({"error": "not_found"}, 404)

    def _metadata(self) -> dict[str, Any]:
        endpoints = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
        paths = ("/authorize", "/token", "/userinfo")
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            **{name: self.issuer + path for name, path in zip(endpoints, paths, strict=True)},
            "authorization_response_iss_parameter_supported": True,
        }

    def _authorize(self, asked: dict[str, str]) -> None:
        wrong = (
            asked.get("client_id") != CLIENT_ID
            or asked.get("redirect_uri") != self.redirect_uri
            or asked.get("response_type") != "code"
            or asked.get("code_challenge_method") != "S256"
            or len(asked.get("code_challenge", "")) != 43
            or len(asked.get("state", "")) < 22
        )
        if wrong:
            self._answer({"error": "invalid_request"}, 400)
            return
        answer = {"state": asked["state"], "iss": self.issuer}
        if self.how.get("deny"):
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self.codes[answer["code"]] = asked
        back = f"{self.redirect_uri}?{urlencode(answer)}"
        page = f'<!doctype html><a href="{escape(back)}">Yes, it is me</a>'.encode() if self.how.get("ask") else b""
        self.send_response(200 if page else 302)
        self.send_header(*(("content-type", "text/html") if page else ("location", back)))
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def _exchange_code(self, form: dict[str, str]) -> None:
        if status := self.how.get("fail"):
            self._answer({"error": "server_error"}, status)
            return
        basic = base64.b64encode(b"shop+client:s3cret%2Fwith%3Aodd%40signs").decode()
        in_form = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)
        given = self.headers.get("authorization") == f"Basic {basic}" if self.path == "/token" else in_form
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not given:
            self._answer({"error": "invalid_client"}, 401)
        elif asked is None or form.get("redirect_uri") != self.redirect_uri or asked["code_challenge"] != challenge:
            self._answer({"error": "invalid_grant"}, 200 if "login" in self.path else 400)
        else:
            token = secrets.token_urlsafe(16)
            self.tokens[token] = dict(self.person)
            answer = {"access_token": token, "token_type": "Bearer"}
            if self.path == "/token":
                answer["id_token"] = self._id_token(asked["nonce"])
            self._answer(answer)

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        defaults = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {**defaults, **self.person, **self.how.get("claims", {})}
        claims = {name: value for name, value in claims.items() if value is not None}
        match self.how.get("key"):
            case "none":
                parts = ({"alg": "none"}, claims)
                text = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
                return ".".join([*text, ""])
            case "secret":
                return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET), algorithms=["HS256"])
            case "stranger":
                stranger = ECKey.generate_key("P-256")
                return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, stranger, algorithms=["ES256"])
            case _:
                return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key, algorithms=["ES256"])

    def _bearer(self) -> dict[str, Any]:
        return self.tokens[self.headers["authorization"].removeprefix("Bearer ")]

    def _answer(self, body: Any, status: int = 200) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.send_header("set-cookie", f"session={secrets.token_hex(4)}; Path=/")
        self.end_headers()
        self.wfile.write(raw)

    def _refuse_cookie(self) -> bool:
        """Reject cookies, except from browsers: the shop must not send the cookie of another sign-in."""
        has_cookie = "cookie" in self.headers and not self.path.startswith(BROWSERS)
        if has_cookie:
            self._answer({"error": "unexpected cookie"}, 400)
        return has_cookie

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    port, Handler.redirect_uri = int(sys.argv[1]), sys.argv[2]
    Handler.issuer = f"http://127.0.0.1:{port}"
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()
