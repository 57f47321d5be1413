"""Payment settlement: an order is charged and refunded at most once under faults."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import pytest
from pydantic import SecretStr

from api_client import Json
from restwell import App
from restwell.jobs import Backoff, JobState
from restwell.testing import MailBox, finish_jobs, running
from shop.app import create_app
from shop.orders import settlement as module
from shop.orders.settlement import Settlement, settle_overdue_orders
from shop.payments.fake_gateway import FakeGateway
from shop.payments.gateway import Gateway, GatewayUnavailable, Outcome
from shop.payments.open import open_gateway
from shop.payments.service import PaymentService
from shop.products.stock import LocalStock
from shop.settings import PaymentsSettings, ShopSettings
from shop_client import ShopClient
from stripe_server import stripe_server

STOCK, PRICE = 50, 1_000
Step = Callable[[], Awaitable[None]]


@pytest.fixture
def payments_file(tmp_path: Path) -> Path:
    return tmp_path / "payments.db"


@pytest.fixture
def settings(settings: ShopSettings, payments_file: Path, request: pytest.FixtureRequest) -> ShopSettings:
    """Settings with the fake gateway options of the test."""
    options = getattr(request, "param", "")
    payments = PaymentsSettings(url=SecretStr(f"fake:///{payments_file}{options}"))
    return settings.model_copy(update={"payments": payments})


@pytest.fixture
async def product(admin: ShopClient) -> Json:
    draft = {"name": "Lamp", "category": "home", "price_cents": PRICE, "currency": "EUR", "stock": STOCK}
    made: Json = (await admin.send("POST", "/v1/products", draft)).json()
    return made


def movements(payments_file: Path) -> dict[str, list[int]]:
    """The charges and refunds of each order, oldest first."""
    connection = apsw.Connection(str(payments_file))
    rows = connection.execute(
        "SELECT description, movements.amount_cents FROM movements"
        " JOIN intents ON intents.id = intent_id ORDER BY movements.id"
    )
    found: dict[str, list[int]] = {}
    for description, amount in rows:
        found.setdefault(str(description).removeprefix("Order "), []).append(amount)
    return found


async def order_of(api: ShopClient, product: Json, key: str = "k") -> Json:
    order: Json = (await api.order(key, (product["id"], 1))).json()
    return order


async def status_of(api: ShopClient, order: Json) -> str:
    return str((await api.get(f"/v1/orders/{order['id']}")).json()["status"])


async def cancel(api: ShopClient, order: Json) -> str:
    answer = await api.send("POST", f"/v1/orders/{order['id']}/cancellation")
    assert answer.status_code == 200
    return str(answer.json()["status"])


async def finish_all(app: App) -> None:
    """Run all jobs, including scheduled retries."""
    async with asyncio.timeout(60):
        while any(one.state is not JobState.DEAD for one in await app.kit.jobs.queue_stats()):
            await finish_jobs(app)


@pytest.mark.slow
async def test_an_order_is_paid_by_a_job_and_then_confirmed(
    customer: ShopClient, product: Json, app: App, payments_file: Path, mail_box: MailBox
) -> None:
    order = await order_of(customer, product)
    assert order["status"] == "pending"
    await finish_jobs(app)
    assert await status_of(customer, order) == "paid", "the cache is invalidated"
    assert movements(payments_file) == {order["id"]: [PRICE]}
    (mail,) = mail_box.mails
    assert "payment was successful" in mail.text


async def test_finish_jobs_runs_a_scheduled_job_that_is_due(
    customer: ShopClient, product: Json, app: App, payments_file: Path
) -> None:
    """Fails if only the worker's poll, once a second, makes the job ready: the worker is stopped before."""
    order = await order_of(customer, product)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("UPDATE jobs SET state = 'scheduled'")
    await finish_jobs(app)
    assert movements(payments_file) == {order["id"]: [PRICE]}


async def test_a_cancelled_order_is_refunded_once(
    customer: ShopClient, product: Json, app: App, payments_file: Path
) -> None:
    """Fails without the refund at the gateway, or if a refund is sent twice."""
    order = await order_of(customer, product)
    await finish_jobs(app)
    answers = await asyncio.gather(*(cancel(customer, order) for _ in range(5)))
    assert set(answers) == {"cancelled"}
    await finish_jobs(app)
    assert movements(payments_file) == {order["id"]: [PRICE, -PRICE]}
    assert await customer.stock_of(product) == STOCK
    assert await cancel(customer, order) == "cancelled"
    await finish_jobs(app)
    assert movements(payments_file) == {order["id"]: [PRICE, -PRICE]}


async def test_an_order_cancelled_before_its_payment_is_never_paid(
    customer: ShopClient, product: Json, app: App, payments_file: Path, mail_box: MailBox
) -> None:
    order = await order_of(customer, product)
    await cancel(customer, order)
    await finish_jobs(app)
    assert await status_of(customer, order) == "cancelled"
    assert not payments_file.exists() or movements(payments_file) == {}
    assert mail_box.mails == []


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["?decline_rate=1"], indirect=True)
async def test_a_declined_order_fails_and_returns_its_stock(
    customer: ShopClient, product: Json, app: App, payments_file: Path, mail_box: MailBox
) -> None:
    order = await order_of(customer, product)
    assert await customer.stock_of(product) == STOCK - 1
    await finish_jobs(app)
    assert await status_of(customer, order) == "failed"
    assert await customer.stock_of(product) == STOCK
    assert movements(payments_file) == {}
    (mail,) = mail_box.mails
    assert (mail.subject.startswith("Your payment"), "declined" in mail.text) == (True, True)
    assert await cancel(customer, order) == "failed"
    await finish_jobs(app)
    assert await customer.stock_of(product) == STOCK, "released once"


async def test_a_free_order_is_paid_without_a_gateway(
    admin: ShopClient, customer: ShopClient, product: Json, app: App, payments_file: Path
) -> None:
    await admin.send("PATCH", f"/v1/products/{product['id']}", {"price_cents": 0}, if_match="*")
    order = await order_of(customer, product)
    await finish_jobs(app)
    assert await status_of(customer, order) == "paid"
    assert not payments_file.exists()


class Interrupted(FakeGateway):
    """A fake gateway that runs a step ``before`` or ``after`` a call, for example to lose its response."""

    def __init__(self, payments_file: Path, **steps: Step) -> None:
        super().__init__(f"fake:///{payments_file}")
        self._steps = steps

    async def _step(self, name: str) -> None:
        if name in self._steps:
            await self._steps.pop(name)()

    async def prepare(self, key: str, amount_cents: int, currency: str, description: str) -> str:
        await self._step("before_prepare")
        payment = await super().prepare(key, amount_cents, currency, description)
        await self._step("after_prepare")
        return payment

    async def confirm(self, payment_id: str) -> Outcome:
        await self._step("before_confirm")
        outcome = await super().confirm(payment_id)
        await self._step("after_confirm")
        return outcome

    async def cancel(self, payment_id: str) -> Outcome:
        outcome = await super().cancel(payment_id)
        await self._step("after_cancel")
        return outcome

    async def refund(self, payment_id: str) -> None:
        await super().refund(payment_id)
        await self._step("after_refund")


def settlement(app: App, gateway: Gateway) -> Settlement:
    kit = app.kit
    payments = PaymentService(kit.database, kit.close_on_shutdown(gateway))
    return Settlement(kit.database, kit.cache, kit.jobs, LocalStock(kit.cache), payments)


async def lost() -> None:
    raise GatewayUnavailable


async def settle(app: App, customer: ShopClient, order: Json, gateway: Gateway) -> None:
    """Run one settlement attempt, which may be interrupted."""
    owner = UUID((await customer.get("/v1/users/me")).json()["id"])
    with suppress(GatewayUnavailable):
        await settlement(app, gateway).settle(owner, UUID(order["id"]))


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before_prepare", "after_prepare", "before_confirm", "after_confirm"])
async def test_an_interrupted_attempt_is_continued_and_pays_once(
    customer: ShopClient, product: Json, app: App, payments_file: Path, when: str
) -> None:
    """The response is lost before or after the charge. Fails if each attempt prepares a new payment."""
    order = await order_of(customer, product)
    await settle(app, customer, order, Interrupted(payments_file, **{when: lost}))
    assert await status_of(customer, order) == "pending"
    await finish_jobs(app)
    assert await status_of(customer, order) == "paid"
    assert movements(payments_file) == {order["id"]: [PRICE]}


@pytest.mark.slow
@pytest.mark.parametrize("settled", [True, False], ids=["settled immediately", "settled later"])
@pytest.mark.parametrize("when", ["before_prepare", "after_prepare", "before_confirm", "after_confirm"])
async def test_an_order_cancelled_during_its_payment_is_refunded_or_never_paid(
    customer: ShopClient, product: Json, app: App, payments_file: Path, when: str, *, settled: bool
) -> None:
    """Fails if the payment id is not stored before the charge, or is stored for a cancelled order."""
    order = await order_of(customer, product)

    async def change_of_mind() -> None:
        assert await cancel(customer, order) == "cancelled"
        if settled:
            await settle(app, customer, order, FakeGateway(f"fake:///{payments_file}"))

    await settle(app, customer, order, Interrupted(payments_file, **{when: change_of_mind}))
    await finish_jobs(app)
    assert await status_of(customer, order) == "cancelled"
    assert sum(movements(payments_file).get(order["id"], [])) == 0
    too_late = when == "after_confirm" or (when == "before_confirm" and not settled)
    assert len(movements(payments_file).get(order["id"], [])) == (2 if too_late else 0)
    assert await customer.stock_of(product) == STOCK


@pytest.mark.slow
async def test_an_expired_idempotency_key_does_not_cause_a_second_charge(
    customer: ShopClient, product: Json, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway stores keys for a day. Fails if the payment id is not stored: a second payment is charged."""
    order = await order_of(customer, product)
    with stripe_server() as stripe:
        gateway = open_gateway(stripe.url)
        prepare = gateway.prepare

        async def prepare_then_lose(*arguments: Any) -> str:
            payment = await prepare(*arguments)
            stripe.faults.append("lost")
            return payment

        monkeypatch.setattr(gateway, "prepare", prepare_then_lose)
        await settle(app, customer, order, gateway)
        assert await status_of(customer, order) == "pending"
        stripe.expire_idempotency_keys()
        await settle(app, customer, order, open_gateway(stripe.url))
        assert await status_of(customer, order) == "paid"
        assert [amount for _, amount in stripe.movements] == [PRICE]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["after_cancel", "after_refund"])
async def test_a_refund_with_a_lost_response_is_executed_once(
    customer: ShopClient, product: Json, app: App, payments_file: Path, when: str
) -> None:
    order = await order_of(customer, product)
    await finish_jobs(app)
    await cancel(customer, order)
    await settle(app, customer, order, Interrupted(payments_file, **{when: lost}))
    await finish_jobs(app)
    assert movements(payments_file) == {order["id"]: [PRICE, -PRICE]}


@pytest.mark.slow
async def test_concurrent_attempts_pay_once(customer: ShopClient, product: Json, app: App, payments_file: Path) -> None:
    order = await order_of(customer, product)
    await asyncio.gather(
        *(settle(app, customer, order, FakeGateway(f"fake:///{payments_file}?delay_seconds=0.02")) for _ in range(8))
    )
    assert await status_of(customer, order) == "paid"
    assert movements(payments_file) == {order["id"]: [PRICE]}


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["?loss_rate=0.2"], indirect=True)  # one in 25,000 orders fails all ten attempts
async def test_every_order_is_settled_with_a_gateway_that_loses_responses(
    customer: ShopClient, product: Json, app: App, payments_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "delay_seconds_after", lambda *_: 0.0)
    orders = [await order_of(customer, product, f"k{number}") for number in range(8)]
    for order in orders[:3]:
        await cancel(customer, order)
    await finish_all(app)
    late = [await status_of(customer, order) for order in orders]
    assert late == ["cancelled"] * 3 + ["paid"] * 5
    for order in orders[3:5]:
        await cancel(customer, order)
    await finish_all(app)
    assert [sum(movements(payments_file).get(order["id"], [])) for order in orders] == [0] * 5 + [PRICE] * 3


@pytest.mark.slow
async def test_an_order_without_a_job_is_settled_by_the_cleanup(
    customer: ShopClient, product: Json, app: App, payments_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a gateway outage that exhausted the retries, one order waits for its payment and one for its refund."""
    monkeypatch.setattr(module, "OVERDUE_AFTER", module.OVERDUE_AFTER * 0)
    paid, other = [await order_of(customer, product, key) for key in ("paid", "other")]
    await settle(app, customer, paid, FakeGateway(f"fake:///{payments_file}"))
    await cancel(customer, paid)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("DELETE FROM jobs")
    async with app.kit.database.transaction() as tx:
        for _ in range(2):
            await app.kit.jobs.enqueue(tx, settle_overdue_orders)
    await finish_jobs(app)
    assert [await status_of(customer, order) for order in (paid, other)] == ["cancelled", "paid"]
    assert movements(payments_file) == {paid["id"]: [PRICE, -PRICE], other["id"]: [PRICE]}


@pytest.mark.slow
async def test_an_order_is_settled_with_stripe(settings: ShopSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay_seconds_after", lambda *_: 0.0)
    with stripe_server() as stripe:
        payments = PaymentsSettings(url=SecretStr(stripe.url))
        app = create_app(settings.model_copy(update={"payments": payments}))
        async with running(app) as client:
            customer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await customer.first_product()
            one, two = [await order_of(customer, product, key) for key in ("one", "two")]
            stripe.faults += ["lost", 503]
            await finish_all(app)
            assert [await status_of(customer, order) for order in (one, two)] == ["paid", "paid"]
            await cancel(customer, one)
            await finish_jobs(app)
        assert sorted(amount for _, amount in stripe.movements) == [
            -one["total_cents"],
            one["total_cents"],
            two["total_cents"],
        ]
