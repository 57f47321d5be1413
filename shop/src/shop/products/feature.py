from typing import Final

from restwell.web import Feature
from shop.products import queries
from shop.products.routes import ProductController
from shop.products.service import ProductService
from shop.products.stock import StockService

products: Final = Feature(
    controllers=[ProductController],
    services=[ProductService, StockService],
    queries=[queries, queries.every_page],
    tag_descriptions={"Products": "The catalogue, with images."},
)
