"""The Stripe PaymentIntents API, and the verification of webhook signatures.

https://docs.stripe.com/api/payment_intents, https://docs.stripe.com/webhooks#verify-manually
"""

import hashlib
import hmac
import re
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from msgspec import Meta, MsgspecError, Struct, json

from restwell.tracing import http_span
from shop.payments.gateway import GatewayRejected, GatewayUnavailable, Outcome

API_VERSION: Final = "2024-06-20"
TIMEOUT_SECONDS: Final = 15.0
TOLERANCE_SECONDS: Final = 300
"""Maximum age of a signed event. Limits replay attacks."""

_OUTCOMES: Final = {
    "succeeded": Outcome.PAID,
    "requires_payment_method": Outcome.DECLINED,
    "canceled": Outcome.CANCELLED,
}
_RETRYABLE: Final = {409, 429}
_FIRST_SERVER_ERROR: Final = 500
_TIMESTAMP: Final = re.compile(r"t=([0-9]{1,12})(?:,|$)")
_MAX_SIGNATURE_CHARS: Final = 1_024


T = TypeVar("T")


class _Intent(Struct, frozen=True):
    """The fields of a payment or refund that are used."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,255}\Z")]
    status: str = ""


class _Error(Struct, frozen=True):
    type: str | None = None
    code: str | None = None
    payment_intent: _Intent | None = None


class _ErrorResponse(Struct, frozen=True):
    error: _Error


class StripeGateway:
    """``https://api-key@api.stripe.com?payment_method=pm_...``.

    All payments use this one payment method: the shop does not store cards.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._method = parse_qs(parts.query).get("payment_method", ["pm_card_visa"])[0]
        self._http = httpx.AsyncClient(
            base_url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/v1/",
            headers={"authorization": f"Bearer {unquote(parts.username or '')}", "stripe-version": API_VERSION},
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # store no cookies
        )

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        response = await self._request(
            "payment_intents",
            {
                "amount": str(amount_cents),
                "currency": currency.lower(),
                "description": description,
                "payment_method": self._method,
                "payment_method_types[]": "card",
                "metadata[key]": key,
            },
            key=key,
        )
        return response.id

    async def confirm(self, payment_id: str) -> Outcome:
        return self._outcome(await self._request(f"payment_intents/{payment_id}/confirm", {}))

    async def cancel(self, payment_id: str) -> Outcome:
        return self._outcome(await self._request(f"payment_intents/{payment_id}/cancel", {}))

    async def refund(self, payment_id: str) -> None:
        await self._request("refunds", {"payment_intent": payment_id}, key=f"refund {payment_id}")

    async def close(self) -> None:
        await self._http.aclose()

    async def _request(self, path: str, form: dict[str, str], key: str | None = None) -> _Intent:
        """Send a request. Returns the payment, also from an error response that includes it."""
        headers = {"idempotency-key": key} if key is not None else {}
        try:
            with http_span("POST", str(self._http.base_url)) as call:
                response = await self._http.post(path, data=form, headers=headers | call.headers)
                call.attributes["status"] = response.status_code
        except (httpx.HTTPError, ValueError) as error:
            raise GatewayUnavailable(repr(error)) from error
        if response.status_code >= _FIRST_SERVER_ERROR or response.status_code in _RETRYABLE:
            raise GatewayUnavailable(f"status {response.status_code}")
        if response.is_success:
            return _read(response, _Intent)
        error_ = _read(response, _ErrorResponse).error
        if error_.code == "charge_already_refunded":
            return _Intent("", "succeeded")
        if error_.payment_intent is None:
            raise GatewayRejected(f"status {response.status_code}: {error_.type} {error_.code}")
        return error_.payment_intent

    @staticmethod
    def _outcome(payment: _Intent) -> Outcome:
        outcome = _OUTCOMES.get(payment.status)
        if outcome is None:
            raise GatewayUnavailable(f"the payment is still {payment.status!r}")
        return outcome


def _read(response: httpx.Response, kind: type[T]) -> T:
    """Decode a response. Raises GatewayUnavailable for an unexpected body, such as the error page of a proxy."""
    try:
        return json.decode(response.content, type=kind)
    except (MsgspecError, RecursionError, ValueError) as error:
        raise GatewayUnavailable(f"status {response.status_code}: {error!r}") from error


def is_valid_signature(header: str, body: bytes, secret: str, now: float | None = None) -> bool:
    """Verify a Stripe-Signature header, in constant time. It has several signatures while the secret is rotated."""
    timestamp = _TIMESTAMP.match(header)
    if len(header) > _MAX_SIGNATURE_CHARS or timestamp is None:
        return False
    if abs((time.time() if now is None else now) - int(timestamp[1])) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(secret.encode(), f"{timestamp[1]}.".encode() + body, hashlib.sha256).hexdigest()
    return any(
        hmac.compare_digest(expected.encode(), one[3:].encode()) for one in header.split(",") if one.startswith("v1=")
    )
