"""An identity provider with faults, which also has the OAuth endpoints of GitHub and Facebook.

It checks that only browsers send cookies: an application must not send the cookie of another sign-in.
"""

import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from html import escape
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from restwell.testing import OpenIdProvider
from restwell.testing._openid_provider import ProviderRequest, ProviderResponse

BROWSERS = ("/authorize", "/login/oauth/authorize", "/dialog/oauth")
CLIENT_ID, CLIENT_SECRET = "the client", "s3cret/with:odd@signs"
ADA: dict[str, Any] = {
    "sub": "248289761001", "email": "ada@example.com", "email_verified": True, "name": "Ada Lovelace"
}  # fmt: skip


class MisbehavingProvider(OpenIdProvider):
    def __init__(self, redirect_uri: str | None = None) -> None:
        super().__init__(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_uri=redirect_uri)
        self._how: dict[str, Any] = {}
        self._routes |= {
            ("GET", "/login/oauth/authorize"): self._authorize,
            ("POST", "/login/oauth/access_token"): self._exchange_code,
            ("GET", "/api/v3/user"): self._github_user,
            ("GET", "/api/v3/user/emails"): self._github_emails,
            ("GET", "/dialog/oauth"): self._authorize,
            ("POST", "/oauth/access_token"): self._exchange_code,
            ("GET", "/me"): self._facebook_user,
        }

    def misbehave(self, **how: Any) -> None:
        """Inject faults instead of those of the last call.

        ``claims`` override ID token claims, None removes one. ``key``: stranger, secret or none. ``fail``: a status of
        the token endpoint. ``ask`` consent. ``metadata`` and ``userinfo`` override those. ``answers``: responses by
        path, as text or JSON.
        """
        self._how = how

    def _respond(self, request: ProviderRequest) -> ProviderResponse:
        if "cookie" in request.headers and not request.path.startswith(BROWSERS):
            return ProviderResponse({"error": "unexpected cookie"}, 400)
        answers = self._how.get("answers", {})
        answer = ProviderResponse(answers[request.path]) if request.path in answers else super()._respond(request)
        cookie = {"set-cookie": f"session={secrets.token_hex(4)}; Path=/"}
        return ProviderResponse(answer.body, answer.status, {**answer.headers, **cookie})

    def _metadata(self) -> dict[str, Any]:
        return {**super()._metadata(), **self._how.get("metadata", {})}

    def _authorize(self, request: ProviderRequest) -> ProviderResponse:
        answer = super()._authorize(request)
        if not self._how.get("ask") or answer.status != 302:
            return answer
        return ProviderResponse(f'<!doctype html><a href="{escape(answer.headers["location"])}">Yes, it is me</a>')

    def _is_client(self, request: ProviderRequest) -> bool:
        if request.path == "/token":
            return super()._is_client(request)
        form = request.parameters
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def _exchange_code(self, request: ProviderRequest) -> ProviderResponse:
        if status := self._how.get("fail"):
            return ProviderResponse({"error": "server_error"}, status)
        answer = super()._exchange_code(request)
        if request.path == "/token":
            return answer
        body = {name: value for name, value in answer.body.items() if name != "id_token"}
        return ProviderResponse(body, 200 if "login" in request.path else answer.status)  # GitHub has no error status

    def _sign(self, claims: dict[str, Any], *, typ: str = "JWT") -> str:
        claims = {**claims, **self._how.get("claims", {})}
        present = {name: value for name, value in claims.items() if value is not None}
        match self._how.get("key"):
            case "none":
                parts = (json.dumps(part).encode() for part in ({"alg": "none"}, present))
                return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])
            case "secret":
                return jwt.encode({"alg": "HS256"}, present, OctKey.import_key(CLIENT_SECRET), algorithms=["HS256"])
            case "stranger":
                stranger = ECKey.generate_key("P-256")
                return jwt.encode({"alg": "ES256", "kid": self._key.kid}, present, stranger, algorithms=["ES256"])
        return super()._sign(claims, typ=typ)

    def _userinfo(self, request: ProviderRequest) -> ProviderResponse:
        return ProviderResponse({**super()._userinfo(request).body, **self._how.get("userinfo", {})})

    def _github_user(self, request: ProviderRequest) -> ProviderResponse:
        person = super()._userinfo(request).body
        return ProviderResponse({"id": int(person["sub"]), "login": "ada", "name": person["name"]})

    def _github_emails(self, request: ProviderRequest) -> ProviderResponse:
        person = super()._userinfo(request).body
        other = {"email": "old@example.com", "primary": False, "verified": True}
        own = {"email": person["email"], "primary": True, "verified": person["email_verified"]}
        return ProviderResponse([other, own])

    def _facebook_user(self, request: ProviderRequest) -> ProviderResponse:
        person = super()._userinfo(request).body
        token = request.headers["authorization"].removeprefix("Bearer ")
        proof = hmac.digest(CLIENT_SECRET.encode(), token.encode(), "sha256").hex()
        if request.parameters.get("appsecret_proof") != proof:
            return ProviderResponse({"error": "no proof"}, 400)
        return ProviderResponse({"id": person["sub"], "name": person["name"], "email": person["email"]})
