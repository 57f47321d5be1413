"""The Python client that ``restwell client python`` writes: a customer's way through the shop, in both versions."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from generated_client import decoded, generated_client, imported
from restwell import App
from restwell.testing import FaultProxy, running
from servers import RESTWELL, ROOT, Served, restwell, serving
from shop.app import create_app
from shop.demo import PASSWORD
from shop.settings import ShopSettings

Json = dict[str, Any]
DOCUMENTS: dict[str, Json] = {
    version: decoded(create_app(ShopSettings()).documents[f"/{version}"]) for version in ("v1", "v2")
}
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def client_of(package: Any, app: App, **options: Any) -> Any:
    client = package.Client("http://app.test", transport=httpx.ASGITransport(app), **options)
    client.models, client.errors, client.package = package.models, package.errors, package
    return client


@pytest.fixture
async def customer(app: App, tmp_path: Path, version: str) -> AsyncIterator[Any]:
    """A client of the application, which runs in this process. No user is signed in."""
    async with running(app), client_of(generated_client(tmp_path, DOCUMENTS[version]), app) as client:
        yield client


@BOTH
async def test_a_customer_registers_lists_and_orders(customer: Any) -> None:
    """Breaks when the cursor of the next page is not sent, or when a repeat has a new key."""
    models, errors = customer.models, customer.errors
    grace = await customer.register_user(
        models.RegistrationRequest(email="grace@example.com", password="a nanosecond is a foot", name="Grace")
    )
    with pytest.raises(errors.Unauthorized):
        await customer.list_orders()
    await customer.sign_in(models.SignInRequest(email=grace.email, password="a nanosecond is a foot"))
    assert await customer.get_own_account() == grace

    products = [each async for each in customer.iterate_products(category="kitchen", limit=7)]
    assert len({each.id for each in products}) == len(products) > 7
    assert all(isinstance(each, models.Product) for each in products)
    (partial, *_) = [each async for each in customer.iterate_products(fields="id,name", limit=100)]
    assert isinstance(partial, models.PartialProduct)

    wanted = models.OrderCreateRequest(items=[models.OrderItemRequest(product_id=products[2].id, quantity=2)])
    order = await customer.create_order(wanted, idempotency_key="my key")
    assert await customer.create_order(wanted, idempotency_key="my key") == order
    wanted.items[0].quantity = 3
    with pytest.raises(errors.IdempotencyKeyReused):
        await customer.create_order(wanted, idempotency_key="my key")
    second = await customer.create_order(wanted)
    assert {each.id async for each in customer.iterate_orders(limit=1)} == {order.id, second.id}
    with pytest.raises(errors.NotFound):
        await customer.get_order(products[0].id)


@BOTH
async def test_the_client_waits_as_long_as_the_shop_says(customer: Any) -> None:
    """Breaks when a 429 is repeated at once: its attempts end before the second that it has to wait."""
    models, errors = customer.models, customer.errors
    wrong = models.SignInRequest(email="customer1@shop.example", password="a wrong password")
    for _ in range(5):
        with pytest.raises(errors.InvalidCredentials):
            await customer.sign_in(wrong)
    async with asyncio.timeout(30):
        tokens = await customer.sign_in(models.SignInRequest(email=wrong.email, password=PASSWORD))
    assert isinstance(tokens, models.BearerTokens)


@BOTH
async def test_an_expired_token_is_renewed_once_for_concurrent_calls(customer: Any) -> None:
    """Breaks when each call renews it, or when the call is not repeated."""
    models, tokens = customer.models, customer.package.Tokens
    signed_in = await customer.sign_in(models.SignInRequest(email="customer1@shop.example", password=PASSWORD))
    customer._tokens = tokens("expired", signed_in.refresh_token)
    accounts = await asyncio.gather(*(customer.get_own_account() for _ in range(8)))
    assert {account.email for account in accounts} == {"customer1@shop.example"}
    customer._tokens = tokens("expired", "of another time")
    with pytest.raises(customer.errors.InvalidRefreshToken):
        await customer.get_own_account()


@BOTH
async def test_a_change_names_the_version_that_was_read(customer: Any) -> None:
    """Breaks when the entity tag of the response to a change is not used for the next change."""
    models, errors = customer.models, customer.errors
    await customer.sign_in(models.SignInRequest(email="admin@shop.example", password=PASSWORD))
    (product, *_) = [each async for each in customer.iterate_products(limit=100)]
    read = await customer.get_product(product.id)
    first = await customer.update_product(product.id, models.ProductUpdateRequest(name="First"), if_match=read)
    with pytest.raises(errors.PreconditionFailed):
        await customer.update_product(product.id, models.ProductUpdateRequest(name="Lost"), if_match=read)
    second = await customer.update_product(product.id, models.ProductUpdateRequest(name="Second"), if_match=first)
    assert (second.value.name, second.etag != first.etag != read.etag) == ("Second", True)


@BOTH
async def test_a_machine_client_reads_orders(customer: Any, app: App) -> None:
    models = customer.models
    await customer.sign_in(models.SignInRequest(email="admin@shop.example", password=PASSWORD))
    scopes = [models.Scope.ORDERS_READ]
    made = await customer.create_client(models.OAuthClientCreateRequest(name="Warehouse", scopes=scopes))
    async with client_of(customer.package, app, client_id=str(made.id), client_secret=made.secret) as machine:
        assert all([isinstance(each, models.Order) async for each in machine.iterate_orders(limit=50)])
        with pytest.raises(customer.errors.InsufficientScope):
            await machine.list_jobs()


async def test_an_old_client_reads_what_a_newer_shop_returns(app: App, tmp_path: Path) -> None:
    """Breaks when an enum is closed, or when a field that it does not know is refused."""
    old = decoded(DOCUMENTS["v2"])
    schemas = old["components"]["schemas"]
    schemas["OrderStatus"]["enum"].remove("pending")
    del schemas["Order"]["properties"]["total"]
    schemas["Order"]["required"].remove("total")
    async with running(app), client_of(generated_client(tmp_path, old), app) as client:
        models = client.models
        await client.sign_in(models.SignInRequest(email="customer1@shop.example", password=PASSWORD))
        (product, *_) = (await client.list_products(limit=1)).data
        item = models.OrderItemRequest(product_id=product.id, quantity=1)
        order = await client.create_order(models.OrderCreateRequest(items=[item]))
    assert (order.status, isinstance(order.status, models.OrderStatus)) == ("pending", True)
    assert not hasattr(order, "total")
    assert not hasattr(models.OrderStatus, "PENDING")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after the commands of docs/clients.md, with its code. Fails if the code has no strict types."""
    folder, text = tmp_path_factory.mktemp("page"), (ROOT / "docs/clients.md").read_text()
    commands = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[0]
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    tools = Path(RESTWELL).parent
    environment = {**os.environ, "RESTWELL_APP": "shop.app:shop", "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-e", "-c", commands], cwd=folder, env=environment, check=True)
    (folder / "example.py").write_text(code)
    subprocess.run([tools / "mypy", "--strict", "--no-error-summary", "example.py"], cwd=folder, check=True)
    return folder


async def test_the_commands_and_the_code_of_the_page_run(app: App, page: Path) -> None:
    """Breaks when a command of docs/clients.md has an option, or its code a method, that does not exist."""
    example, package = imported(page, "example"), imported(page, "shop_api")
    async with running(app), client_of(package, app) as shop:
        order = await example.buy(shop)
        await shop.sign_in(shop.models.SignInRequest(email="admin@shop.example", password=PASSWORD))
        product = (await shop.get_product(order.items[0].product_id)).value
        await example.rename(shop, product, "New")
        assert (await shop.get_product(product.id)).value.name == "New"


@pytest.fixture
async def served(tmp_path: Path, empty_url: str) -> AsyncIterator[Served]:
    settings = {"DATABASE_URL": empty_url, "RESTWELL_APP": "shop.app:shop", "LOG_LEVEL": "warning"}
    for command in ("migrate", "seed"):
        restwell(command, cwd=tmp_path, **settings).check_returncode()
    async with serving(tmp_path, RESTWELL, "serve", cwd=tmp_path, **settings) as server:
        yield server


@pytest.mark.system
async def test_a_lost_response_makes_no_second_order(served: Served, tmp_path: Path) -> None:
    """Breaks when the client makes a new key for each attempt: the order is there twice."""
    for document in DOCUMENTS.values():
        package = generated_client(tmp_path, document)
        models = package.models
        async with (
            FaultProxy(int(served.url.rpartition(":")[2])) as proxy,
            package.Client(served.url) as direct,
            package.Client(f"http://127.0.0.1:{proxy.port}") as client,
        ):
            for each in (direct, client):
                await each.sign_in(models.SignInRequest(email="customer1@shop.example", password=PASSWORD))
            before = {order.id async for order in direct.iterate_orders(limit=100)}
            (product, *_) = [each async for each in direct.iterate_products(limit=100)]
            item = models.OrderItemRequest(product_id=product.id, quantity=1)
            proxy.responses_to_lose = 2
            order = await client.create_order(models.OrderCreateRequest(items=[item]))
            assert proxy.responses_to_lose == 0
            after = {each.id async for each in direct.iterate_orders(limit=100)}
        assert after - before == {order.id}
