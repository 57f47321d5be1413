from uuid import UUID

from restwell.pages import Page
from restwell.web import Controller, IfMatch, Response, delete, get, patch, post, public, requires_role, with_etag
from shop.access import Scope
from shop.products.schemas import PartialProduct, Product, ProductCreateRequest, ProductFilter, ProductUpdateRequest
from shop.products.service import ProductService
from shop.products.tags import list_tags


class ProductController(Controller):
    path = "/products"
    tags = ["Products"]

    @get(cache=public(ttl_seconds=60, tags=list_tags))
    async def list_products(
        self, filters: ProductFilter, products: ProductService
    ) -> Page[Product] | Page[PartialProduct]:
        """List products.

        Supports filters, full-text search, sorting and sparse fieldsets. For the next page, follow the `Link` header.
        """
        return await products.list_products(filters)

    @get("/{product_id}", cache=public(ttl_seconds=60, tags=["product:{product_id}"]))
    async def get_product(self, product_id: UUID, products: ProductService) -> Response[Product]:
        """Retrieve a product.

        Send the strong `ETag` as `If-None-Match` to revalidate a cached response, or as `If-Match` to modify the
        product.
        """
        product = await products.get_product(product_id)
        return with_etag(product, product.version)

    @post(guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)])
    async def create_product(self, data: ProductCreateRequest, products: ProductService) -> Response[Product]:
        """Create a product."""
        product = await products.create_product(data)
        return with_etag(product, product.version, status=201, location=product.id)

    @patch("/{product_id}", guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)])
    async def update_product(
        self, product_id: UUID, data: ProductUpdateRequest, if_match: IfMatch, products: ProductService
    ) -> Response[Product]:
        """Update a product.

        Applies a JSON Merge Patch (RFC 7396) to the version in `If-Match`. Returns 412 if the product was modified in
        the meantime; orders modify its stock.
        """
        product = await products.update_product(product_id, data, if_match)
        return with_etag(product, product.version)

    @delete("/{product_id}", guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)])
    async def delete_product(self, product_id: UUID, if_match: IfMatch, products: ProductService) -> None:
        """Delete a product.

        Existing orders keep its name and price.
        """
        await products.delete_product(product_id, if_match)
