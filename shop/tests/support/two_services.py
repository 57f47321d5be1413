"""The shop as two services in the process of the test: the catalogue with a database of its own, and the orders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
from msgspec import Struct
from pydantic import SecretStr

from restwell import App
from restwell.settings import (
    DatabaseSettings,
    GrpcSettings,
    JwtSettings,
    RateLimitSettings,
    RequestSettings,
    SmtpSettings,
)
from restwell.testing import BASE_URL, MailBox, running
from servers import MORE, free_port
from shop.access import Scope
from shop.app import create_app
from shop.demo import PASSWORD
from shop.settings import PaymentsSettings, ShopSettings
from shop_client import ShopClient

ONE: Final = "one service"
TWO: Final = "two services"


class Catalogue(Struct, frozen=True):
    """``url`` has an API key with the scope for stock. ``token`` is that of an admin."""

    app: App
    url: str
    token: str


@asynccontextmanager
async def catalogue_in(folder: Path) -> AsyncIterator[Catalogue]:
    """Run a catalogue in this process, with the database in the file ``catalogue.db`` of the folder."""
    url, port = f"sqlite:///{folder / 'catalogue.db'}", free_port()
    app = create_app(
        ShopSettings(
            database=DatabaseSettings(url=SecretStr(url)),
            jwt=JwtSettings(secret=SecretStr("the secret of the catalogue, which is long enough to be one")),
            runtime_dir=folder,
            rate_limit=RateLimitSettings(scale=MORE),
            request=RequestSettings(timeout_seconds=30),  # for a busy machine
            payments=PaymentsSettings(url=SecretStr(f"fake:///{folder}/payments.db")),
            smtp=SmtpSettings(url=SecretStr(MailBox(folder / "mails").smtp_url)),
            grpc=GrpcSettings(port=port),
        )
    )
    async with running(app) as client:
        admin = await ShopClient(client).sign_in("admin@shop.example")
        key = await stock_key(admin)
        yield Catalogue(app, f"grpc://{key}@127.0.0.1:{port}", admin.tokens["access_token"])


async def stock_key(owner: ShopClient) -> str:
    """A new API key for the service of the orders."""
    draft = {"name": "the orders", "scopes": [Scope.STOCK_RESERVE], "current_password": PASSWORD}
    key: str = (await owner.post("/v1/users/me/api-keys", draft)).json()["key"]
    return key


class _ByPath(httpx.AsyncBaseTransport):
    def __init__(self, orders: App, catalogue: Catalogue) -> None:
        self._orders = httpx.ASGITransport(orders)
        self._products = httpx.ASGITransport(catalogue.app)
        self._token = catalogue.token

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/v1/products"):
            return await self._orders.handle_async_request(request)
        request.headers["authorization"] = f"Bearer {self._token}"  # each service has accounts of its own
        return await self._products.handle_async_request(request)


def client_of_both(orders: App, catalogue: Catalogue) -> httpx.AsyncClient:
    """Sends requests for products to the catalogue, as its admin, and all others to the orders: as a proxy does."""
    return httpx.AsyncClient(transport=_ByPath(orders, catalogue), base_url=BASE_URL)
