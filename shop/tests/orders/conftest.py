"""The orders with the catalogue in their own service, and in another one."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from restwell import App
from restwell.database import Database, open_database
from restwell.testing import finish_jobs, running
from shop.settings import CatalogueSettings, ShopSettings
from two_services import ONE, TWO, Catalogue, catalogue_in, client_of_both

Prepare = Callable[[Database], Awaitable[None]]


@pytest.fixture(scope="session")
async def catalogue_file(tmp_path_factory: pytest.TempPathFactory, prepare: Prepare) -> Path:
    """The database that each catalogue begins with."""
    file = tmp_path_factory.mktemp("catalogue") / "catalogue.db"
    async with open_database(f"sqlite:///{file}") as database:
        await prepare(database)
    return file


@pytest.fixture
async def catalogue(tmp_path: Path, catalogue_file: Path) -> AsyncIterator[Catalogue]:
    """A running catalogue: each test has its own, because an application notices when no test runs its event loop."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    shutil.copy(catalogue_file, folder)
    async with catalogue_in(folder) as found:
        yield found


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
