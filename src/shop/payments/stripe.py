"""Stripe's PaymentIntents, and whoever speaks like it; and the signature of what it sends us.

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

from shop.payments.gateway import GatewayRejected, GatewayUnavailable, Outcome

VERSION: Final = "2024-06-20"
SECONDS: Final = 15.0
TOLERANCE_SECONDS: Final = 300
"""How old a signed event may be: an older one is somebody's recording of it."""

_OUTCOMES: Final = {
    "succeeded": Outcome.PAID,
    "requires_payment_method": Outcome.DECLINED,
    "canceled": Outcome.CANCELLED,
}
_LATER: Final = {409, 429}
_SERVER_FAULTS: Final = 500
_SIGNED: Final = re.compile(r"t=([0-9]{1,12})(?:,|$)")
_MAX_SIGNATURE_CHARS: Final = 1_024


T = TypeVar("T")


class _Intent(Struct, frozen=True):
    """Of a payment or a refund, what is read."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,255}\Z")]
    status: str = ""


class _Fault(Struct, frozen=True):
    type: str | None = None
    code: str | None = None
    payment_intent: _Intent | None = None


class _Refusal(Struct, frozen=True):
    error: _Fault


class StripeGateway:
    """``https://api-key@api.stripe.com?payment_method=pm_...``; the shop stores no cards, so one method pays for all.

    A shop whose customers have saved theirs would give each payment its customer's.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._method = parse_qs(parts.query).get("payment_method", ["pm_card_visa"])[0]
        self._http = httpx.AsyncClient(
            base_url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/v1/",
            headers={"authorization": f"Bearer {unquote(parts.username or '')}", "stripe-version": VERSION},
            timeout=SECONDS,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # one payment leaves nothing for the next
        )

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        answer = await self._ask(
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
        return answer.id

    async def confirm(self, payment_id: str) -> Outcome:
        return self._outcome(await self._ask(f"payment_intents/{payment_id}/confirm", {}))

    async def cancel(self, payment_id: str) -> Outcome:
        return self._outcome(await self._ask(f"payment_intents/{payment_id}/cancel", {}))

    async def refund(self, payment_id: str) -> None:
        await self._ask("refunds", {"payment_intent": payment_id}, key=f"refund {payment_id}")

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, path: str, form: dict[str, str], key: str | None = None) -> _Intent:
        """The payment, also where an error names it because it has come to its end already."""
        headers = {"idempotency-key": key} if key is not None else {}
        try:
            answer = await self._http.post(path, data=form, headers=headers)
        except (httpx.HTTPError, ValueError) as error:
            raise GatewayUnavailable(repr(error)) from error
        if answer.status_code >= _SERVER_FAULTS or answer.status_code in _LATER:
            raise GatewayUnavailable(f"status {answer.status_code}")
        if answer.is_success:
            return _read(answer, _Intent)
        fault = _read(answer, _Refusal).error
        if fault.code == "charge_already_refunded":
            return _Intent("", "succeeded")
        if fault.payment_intent is None:
            raise GatewayRejected(f"status {answer.status_code}: {fault.type} {fault.code}")
        return fault.payment_intent

    @staticmethod
    def _outcome(payment: _Intent) -> Outcome:
        outcome = _OUTCOMES.get(payment.status)
        if outcome is None:
            raise GatewayUnavailable(f"it is {payment.status!r} still")
        return outcome


def _read(answer: httpx.Response, kind: type[T]) -> T:
    """Raises GatewayUnavailable for what is not from the gateway, such as a page of a proxy."""
    try:
        return json.decode(answer.content, type=kind)
    except (MsgspecError, RecursionError, ValueError) as error:
        raise GatewayUnavailable(f"status {answer.status_code}: {error!r}") from error


def is_valid_signature(header: str, body: bytes, secret: str, now: float | None = None) -> bool:
    """Whether the Stripe-Signature is one of the secret's for this body, and a recent one. Several may stand in it while secrets change."""
    found = _SIGNED.match(header)
    if len(header) > _MAX_SIGNATURE_CHARS or found is None:
        return False
    if abs((time.time() if now is None else now) - int(found[1])) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(secret.encode(), f"{found[1]}.".encode() + body, hashlib.sha256).hexdigest()
    return any(
        hmac.compare_digest(expected.encode(), one[3:].encode()) for one in header.split(",") if one.startswith("v1=")
    )
