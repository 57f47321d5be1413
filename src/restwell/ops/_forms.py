"""Protects forms from other sites: a random cookie, and its signature in each form (signed double submit)."""

import secrets
from typing import Final
from urllib.parse import parse_qs

from restwell._signing import SignedTokens
from restwell.auth._key_derivation import KeyDeriver
from restwell.errors import Forbidden
from restwell.web import Cookie, Request, reject_cross_site
from restwell.web._forms import FORM

FORM_COOKIE: Final = "__Host-ops-form"
FIELD: Final = "csrf"
_COOKIE_SECONDS: Final = 86_400
_SCOPE: Final = "ops form"


class StaleForm(Forbidden):
    code, message = "stale_form", "The form is too old. Go back, reload the page, and send it again."


class FormTokens:
    def __init__(self, keys: KeyDeriver) -> None:
        self._tokens = SignedTokens(keys.derive("ops-form"))

    def cookie_of(self, request: Request) -> tuple[str, Cookie | None]:
        """The value of the browser's cookie; with the cookie to set, if it has none."""
        found = request.cookies.get(FORM_COOKIE)
        if found:
            return found, None
        value = secrets.token_urlsafe(18)
        return value, Cookie(FORM_COOKIE, value, _COOKIE_SECONDS)

    def token_of(self, cookie: str) -> str:
        """The token of the forms that this browser gets."""
        return self._tokens.encode(_SCOPE, cookie)

    async def check(self, request: Request) -> None:
        """Raises CrossSiteRequest, and StaleForm for a form that this browser did not get from this application."""
        reject_cross_site(request)
        body = b""
        if request.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() == FORM:
            body = await request.body()
        token = parse_qs(body.decode("latin-1"), max_num_fields=10_000).get(FIELD, [""])[0]
        try:
            signed = self._tokens.decode(_SCOPE, token, str)
        except ValueError:
            raise StaleForm from None
        if not secrets.compare_digest(signed.encode(), request.cookies.get(FORM_COOKIE, "").encode()):
            raise StaleForm
