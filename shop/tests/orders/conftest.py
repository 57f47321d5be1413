"""The orders with the catalogue in their own service, and in another one."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from pydantic import SecretStr

from restwell import App
from restwell.testing import finish_jobs, running
from shop.settings import CatalogueSettings, ShopSettings
from two_services import ONE, TWO, Catalogue, catalogue_in, client_of_both


@pytest.fixture(scope="module")
async def catalogue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Catalogue]:
    async with catalogue_in(tmp_path_factory.mktemp("catalogue")) as running_catalogue:
        yield running_catalogue


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """One service, unless the test asks for ``TWO``."""
    return str(getattr(request, "param", ONE))


@pytest.fixture
def settings(settings: ShopSettings, mode: str, request: pytest.FixtureRequest) -> ShopSettings:
    if mode == ONE:
        return settings
    catalogue: Catalogue = request.getfixturevalue("catalogue")
    return settings.model_copy(update={"catalogue": CatalogueSettings(url=SecretStr(catalogue.url))})


@pytest.fixture
async def client(app: App, mode: str, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as connected:
        if mode == ONE:
            yield connected
            return
        async with client_of_both(app, request.getfixturevalue("catalogue")) as both:
            yield both


@pytest.fixture
def stock_is_released(app: App, mode: str) -> Callable[[], Awaitable[None]]:
    """Waits until the stock of cancelled orders is released: another service gets it back by a job."""

    async def finish() -> None:
        if mode == TWO:
            await finish_jobs(app)

    return finish
