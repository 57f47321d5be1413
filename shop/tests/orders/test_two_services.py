"""Orders whose catalogue is another service: reservations are confirmed before the payment, released, or expire."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, table

from api_client import Json, assert_problem
from order_load import charges_in
from restwell import App
from restwell.database import query
from restwell.jobs import JobState
from restwell.testing import FaultProxy, MailBox, finish_jobs, running
from servers import free_port
from shop.app import create_app
from shop.products.reservations import RESERVED_FOR, Reservations
from shop.settings import CatalogueSettings, PaymentsSettings, ShopSettings
from shop_client import ShopClient, product_with
from two_services import TWO, Catalogue, client_of_both

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("backend", ["sqlite"]),
    pytest.mark.parametrize("mode", [TWO], indirect=True),
]
LATER = datetime.now(UTC) + 2 * RESERVED_FOR
_keys = query("test.keys", select(func.count().label("n")).select_from(table("idempotency_keys")), into=int)


@pytest.fixture
def settings(settings: ShopSettings, tmp_path: Path, request: pytest.FixtureRequest) -> ShopSettings:
    """Settings with the options of the fake gateway that the test asks for."""
    options = request.param if hasattr(request, "param") else ""
    payments = PaymentsSettings(url=SecretStr(f"fake:///{tmp_path}/payments.db{options}"))
    return settings.model_copy(update={"payments": payments})


async def placed(customer: ShopClient, product: Json, key: str = "k") -> Json:
    order: Json = (await customer.order(key, (product["id"], 2))).json()
    return order


async def status_of(customer: ShopClient, order: Json) -> str:
    return str((await customer.get(f"/v1/orders/{order['id']}")).json()["status"])


async def test_a_paid_order_keeps_its_stock_until_it_is_cancelled(
    app: App, admin: ShopClient, customer: ShopClient, catalogue: Catalogue
) -> None:
    """Fails if the reservation is not confirmed before the charge, or if a cancellation does not release it."""
    product = await product_with(admin, 5)
    order = await placed(customer, product)
    await finish_jobs(app)
    assert await status_of(customer, order) == "paid"
    reservations = catalogue.app.service(Reservations)
    await reservations.release_expired(LATER)
    assert await customer.stock_of(product) == 3
    await customer.send("POST", f"/v1/orders/{order['id']}/cancellation")
    await finish_jobs(app)
    assert await customer.stock_of(product) == 5
    await reservations.release(UUID(order["id"]))
    assert await customer.stock_of(product) == 5, "released once"


async def test_an_order_whose_reservation_has_expired_is_cancelled_and_not_charged(
    app: App, admin: ShopClient, customer: ShopClient, catalogue: Catalogue, mail_box: MailBox, tmp_path: Path
) -> None:
    """Fails if ``confirm`` succeeds without a row: the order is paid, and its stock is sold to somebody else."""
    product = await product_with(admin, 5)
    order = await placed(customer, product)
    await catalogue.app.service(Reservations).release_expired(LATER)
    assert await customer.stock_of(product) == 5
    await finish_jobs(app)
    assert await status_of(customer, order) == "cancelled"
    assert charged(tmp_path) == {}
    (mail,) = mail_box.mails
    assert "you do not pay for it" in mail.text
    assert await customer.stock_of(product) == 5


@pytest.mark.parametrize("settings", ["?decline_rate=1"], indirect=True)
async def test_a_declined_payment_releases_the_stock(app: App, admin: ShopClient, customer: ShopClient) -> None:
    product = await product_with(admin, 5)
    order = await placed(customer, product)
    await finish_jobs(app)
    assert await status_of(customer, order) == "failed"
    assert await customer.stock_of(product) == 5


async def test_without_its_catalogue_the_service_takes_no_orders_and_settles_none(
    settings: ShopSettings, catalogue: Catalogue, tmp_path: Path
) -> None:
    """Fails if an order is stored or charged without a reservation, or if one is not settled after the outage."""
    address, _, port = catalogue.url.rpartition(":")
    async with FaultProxy(int(port)) as proxy:
        through = CatalogueSettings(url=SecretStr(f"{address}:{proxy.port}"))
        app = create_app(settings.model_copy(update={"catalogue": through}))
        async with running(app), client_of_both(app, catalogue) as client:
            admin = await ShopClient(client).sign_in("admin@shop.example")
            customer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await product_with(admin, 5)
            order = await placed(customer, product)
            proxy.targets = [free_port()]
            proxy.reset()
            answer = await customer.order("down", (product["id"], 1))
            assert_problem(answer, 503, "service_unavailable")
            assert answer.headers["retry-after"] == "1"
            assert await app.kit.database.one(_keys) == 1, "the key of the refused order is free"
            await finish_jobs(app)
            assert await status_of(customer, order) == "pending"
            assert charged(tmp_path) == {}
            proxy.targets = [int(port)]
            while any(each.state != JobState.DEAD for each in await app.kit.jobs.queue_stats()):
                await finish_jobs(app)
            assert await status_of(customer, order) == "paid"
            assert (await customer.order("down", (product["id"], 1))).status_code == 201
            assert await customer.stock_of(product) == 2


async def test_the_service_of_the_orders_has_no_products(app: App) -> None:
    """They would be those of an empty table. Fails if a route or a method of the catalogue is left."""
    paths = {route.path for route in app.routes}
    assert "/v1/orders" in paths
    assert not [path for path in paths if "product" in path or path == "/graphql"]
    methods = {each.name for transport in app.transports for each in transport.operations}
    assert {name.rpartition("/")[0] for name in methods} == {"/shop.v1.OrderService"}


def charged(folder: Path) -> dict[str, list[int]]:
    file = folder / "payments.db"
    return charges_in(file) if file.exists() else {}
