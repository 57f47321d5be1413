from typing import Final

from restwell import Restwell
from restwell.jobs import Jobs
from restwell.web import Feature
from shop.products import queries
from shop.products.remote import RemoteStock, StockClient, release_stock
from shop.products.reservations import Reservations, release_expired_reservations
from shop.products.routes import ProductController
from shop.products.service import ProductService
from shop.products.stock import LocalStock, StockService
from shop.settings import ShopSettings


def local_stock(stock: LocalStock) -> StockService:
    return stock


products: Final = Feature(
    controllers=[ProductController],
    services=[ProductService, LocalStock, local_stock, Reservations],
    jobs=[release_expired_reservations],
    queries=[queries, queries.every_page],
    tag_descriptions={"Products": "The catalogue, with images."},
)


def products_of(url: str) -> Feature:
    """The stock of the catalogue at this URL, instead of an own catalogue."""

    def client(kit: Restwell, settings: ShopSettings) -> StockClient:
        # Half the time of a request, so that it can still answer that the catalogue is down.
        return kit.close_on_shutdown(StockClient(url, settings.request.timeout_seconds / 2))

    def stock(client: StockClient, jobs: Jobs) -> StockService:
        return RemoteStock(client, jobs)

    return Feature(services=[client, stock], jobs=[release_stock])
