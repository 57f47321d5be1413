"""Conformance tests of payment gateways: the fake gateway and Stripe."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from shop.payments.fake_gateway import FakeGateway
from shop.payments.gateway import Gateway, GatewayRejected, GatewayUnavailable, Outcome
from shop.payments.open import open_gateway
from stripe_server import StripeServer, stripe_server

ORDER = ("order 1", 1_250, "EUR", "Order 1")


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with stripe_server() as server:
        yield server


class GatewayHarness:
    """A gateway with its recorded charges and refunds, and fault injection."""

    def __init__(self, kind: str, folder: Path, stripe: StripeServer) -> None:
        self.kind = kind
        self.folder = folder
        self.stripe = stripe
        self.gateway = self.opened()

    def opened(self, options: str = "") -> Gateway:
        return open_gateway(f"fake:///{self.folder}/payments.db{options}" if self.kind == "fake" else self.stripe.url)

    def movements(self) -> list[int]:
        if self.kind == "stripe":
            return [amount for _, amount in self.stripe.movements]
        rows = apsw.Connection(str(self.folder / "payments.db")).execute(
            "SELECT amount_cents FROM movements ORDER BY id"
        )
        return [row[0] for row in rows]

    @contextmanager
    def losing(self) -> Iterator[Gateway]:
        """Execute the request, then lose the response."""
        if self.kind == "stripe":
            self.stripe.faults.append("lost")
            yield self.gateway
            assert not self.stripe.faults
        else:
            yield self.opened("?loss_rate=1")

    @contextmanager
    def declining(self) -> Iterator[Gateway]:
        self.stripe.declines = True
        yield self.gateway if self.kind == "stripe" else self.opened("?decline_rate=1")
        self.stripe.declines = False


@pytest.fixture(params=["fake", "stripe"])
async def harness(
    request: pytest.FixtureRequest, tmp_path: Path, stripe: StripeServer
) -> AsyncIterator[GatewayHarness]:
    made = GatewayHarness(request.param, tmp_path, stripe)
    yield made
    await made.gateway.close()


@pytest.mark.slow
async def test_a_confirmed_payment_is_charged_once(harness: GatewayHarness) -> None:
    payment = await harness.gateway.prepare(*ORDER)
    assert harness.movements() == []
    assert [await harness.gateway.confirm(payment) for _ in range(3)] == [Outcome.PAID] * 3
    assert harness.movements() == [1_250]
    assert await harness.gateway.cancel(payment) is Outcome.PAID, "already charged"
    for _ in range(3):
        await harness.gateway.refund(payment)
    assert harness.movements() == [1_250, -1_250]
    assert await harness.gateway.confirm(payment) is Outcome.PAID, "the payment was charged"
    assert harness.movements() == [1_250, -1_250]


async def test_one_idempotency_key_creates_one_payment(harness: GatewayHarness) -> None:
    payment = await harness.gateway.prepare(*ORDER)
    assert await harness.gateway.prepare(*ORDER) == payment
    assert await harness.gateway.prepare("order 2", *ORDER[1:]) != payment
    with pytest.raises(GatewayRejected):
        await harness.gateway.prepare("order 1", 999, "EUR", "Order 1")


async def test_a_cancelled_payment_is_never_paid(harness: GatewayHarness) -> None:
    payment = await harness.gateway.prepare(*ORDER)
    assert [await harness.gateway.cancel(payment) for _ in range(2)] == [Outcome.CANCELLED] * 2
    assert await harness.gateway.confirm(payment) is Outcome.CANCELLED
    with pytest.raises(GatewayRejected):
        await harness.gateway.refund(payment)
    assert harness.movements() == []


async def test_a_declined_payment_stays_declined(harness: GatewayHarness) -> None:
    with harness.declining() as gateway:
        payment = await gateway.prepare(*ORDER)
        assert [await gateway.confirm(payment) for _ in range(2)] == [Outcome.DECLINED] * 2
        await gateway.cancel(payment)
        assert await gateway.confirm(payment) in {Outcome.CANCELLED, Outcome.DECLINED}
    assert harness.movements() == []


async def test_a_request_with_a_lost_response_can_be_retried(harness: GatewayHarness) -> None:
    """The request is executed and its response lost. A retry returns the outcome."""
    with harness.losing() as gateway, pytest.raises(GatewayUnavailable):
        await gateway.prepare(*ORDER)
    payment = await harness.gateway.prepare(*ORDER)
    with harness.losing() as gateway, pytest.raises(GatewayUnavailable):
        await gateway.confirm(payment)
    assert harness.movements() == [1_250]
    assert await harness.gateway.confirm(payment) is Outcome.PAID
    with harness.losing() as gateway, pytest.raises(GatewayUnavailable):
        await gateway.refund(payment)
    await harness.gateway.refund(payment)
    assert harness.movements() == [1_250, -1_250]


async def test_an_unprepared_payment_is_refused(harness: GatewayHarness) -> None:
    for ask in (harness.gateway.confirm, harness.gateway.cancel, harness.gateway.refund):
        with pytest.raises(GatewayRejected):
            await ask("pi_unknown")


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503])
async def test_a_payment_can_be_confirmed_again_after_a_gateway_error(stripe: StripeServer, status: int) -> None:
    gateway = open_gateway(stripe.url)
    payment = await gateway.prepare(*ORDER)
    stripe.faults.append(status)
    with pytest.raises(GatewayUnavailable, match=str(status)):
        await gateway.confirm(payment)
    assert await gateway.confirm(payment) is Outcome.PAID
    await gateway.close()


async def test_a_payment_in_progress_has_no_outcome(stripe: StripeServer) -> None:
    gateway = open_gateway(stripe.url)
    payment = await gateway.prepare(*ORDER)
    for state in ("processing", "requires_action"):
        stripe.payments[payment]["status"] = state
        with pytest.raises(GatewayUnavailable, match=state):
            await gateway.confirm(payment)
    await gateway.close()


async def test_a_payment_is_sent_to_stripe_with_amount_currency_and_key(stripe: StripeServer) -> None:
    """Nothing is charged or refunded twice, even after Stripe's idempotency keys have expired."""
    gateway = open_gateway(stripe.url)
    payment = await gateway.prepare(*ORDER)
    path, headers, form = stripe.requests[0]
    assert path == "/v1/payment_intents"
    assert headers["idempotency-key"] == "order 1"
    assert headers["authorization"].startswith("Bearer sk_test_")
    assert (form["amount"], form["currency"], form["payment_method"]) == ("1250", "eur", "pm_card_visa")
    await gateway.confirm(payment)
    await gateway.refund(payment)
    stripe.expire_idempotency_keys()
    assert await gateway.confirm(payment) is Outcome.PAID
    await gateway.refund(payment)
    assert [amount for _, amount in stripe.movements] == [1_250, -1_250]
    await gateway.close()


async def test_a_wrong_api_key_is_rejected_and_not_in_the_error(stripe: StripeServer) -> None:
    gateway = open_gateway(stripe.url.replace("sk_test", "sk_live"))
    with pytest.raises(GatewayRejected, match="api_key_invalid") as refused:
        await gateway.prepare(*ORDER)
    assert "sk_live" not in str(refused.value)
    await gateway.close()


async def test_an_unreachable_gateway_is_unavailable() -> None:
    gateway = open_gateway("http://key@127.0.0.1:9")
    with pytest.raises(GatewayUnavailable):
        await gateway.prepare(*ORDER)
    await gateway.close()


async def test_the_fake_gateway_caches_little_of_its_file(tmp_path: Path) -> None:
    """Fails if the memory of a worker grows with its payments, up to the page cache of the application's database."""
    fake = FakeGateway(f"fake:///{tmp_path}/payments.db")
    await fake.prepare("o", 100, "EUR", "x")
    before = apsw.memory_used()
    for number in range(10):
        await fake.prepare(f"o {number}", 100, "EUR", "x" * 200_000)
    used = apsw.memory_used() - before
    await fake.close()
    assert used < 1_000_000


@pytest.mark.slow
async def test_the_fake_gateway_declines_and_loses_responses_at_the_configured_rates(tmp_path: Path) -> None:
    fake = FakeGateway(f"fake:///{tmp_path}/payments.db?decline_rate=0.3&loss_rate=0.2")
    reliable = FakeGateway(f"fake:///{tmp_path}/payments.db")
    outcomes, lost = [], 0
    for number in range(300):
        payment = await reliable.prepare(f"o {number}", 100, "EUR", "x")
        try:
            outcomes.append(await fake.confirm(payment))
        except GatewayUnavailable:
            lost += 1
    for gateway in (fake, reliable):
        await gateway.close()
    assert 20 < lost < 110
    assert 0.15 < outcomes.count(Outcome.DECLINED) / len(outcomes) < 0.45
    with pytest.raises(ValueError, match="wings"):
        FakeGateway("fake:///x.db?wings=2")
