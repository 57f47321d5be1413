from typing import Annotated
from uuid import UUID

from restwell.errors import InvalidCursor, PreconditionFailed, PreconditionRequired
from restwell.pages import Page
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    HeaderParameter,
    Inject,
    JSONBody,
    Response,
    delete,
    expected_versions,
    get,
    paged,
    patch,
    post,
    public,
    requires_role,
    with_etag,
)
from shop.access import Scope
from shop.products.schemas import PartialProduct, Product, ProductCreateRequest, ProductFilter, ProductUpdateRequest
from shop.products.service import ProductService
from shop.products.tags import list_tags

IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description="The ETag of the version to modify. Prevents lost updates."),
]


class ProductController(Controller):
    path = "/products"
    tags = ["Products"]
    products: ProductService

    @get(cached=public(ttl_seconds=60, tags=list_tags), errors=[InvalidCursor])
    async def list_products(
        self, request: ApiRequest, filters: Inject[ProductFilter]
    ) -> Response[Page[Product] | Page[PartialProduct]]:
        """List products.

        Supports filters, full-text search, sorting and sparse fieldsets. For the next page, send `next_cursor` as
        `cursor`, or follow the `Link` header.
        """
        return paged(request, await self.products.list_products(filters))

    @get("/{product_id:uuid}", cached=public(ttl_seconds=60, tags=["product:{product_id}"]))
    async def get_product(self, product_id: FromPath[UUID]) -> Response[Product]:
        """Retrieve a product.

        Send the strong `ETag` as `If-None-Match` to revalidate a cached response, or as `If-Match` to modify the
        product.
        """
        product = await self.products.get_product(product_id)
        return with_etag(product, product.version)

    @post(guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)])
    async def create_product(self, data: JSONBody[ProductCreateRequest]) -> Response[Product]:
        """Create a product."""
        product = await self.products.create_product(data)
        return with_etag(product, product.version, status=201, location=f"/v1/products/{product.id}")

    @patch(
        "/{product_id:uuid}",
        guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)],
        requires_header="If-Match",
        errors=[PreconditionRequired, PreconditionFailed],
    )
    async def update_product(
        self,
        product_id: FromPath[UUID],
        data: JSONBody[ProductUpdateRequest],
        if_match: IfMatch = None,
    ) -> Response[Product]:
        """Update a product.

        Applies a JSON Merge Patch (RFC 7396) to the version in `If-Match`. Returns 412 if the product was modified in
        the meantime; orders modify its stock.
        """
        product = await self.products.update_product(product_id, data, expected_versions(if_match))
        return with_etag(product, product.version)

    @delete(
        "/{product_id:uuid}",
        guards=[requires_role("admin", or_scope=Scope.PRODUCTS_WRITE)],
        requires_header="If-Match",
        errors=[PreconditionRequired, PreconditionFailed],
    )
    async def delete_product(self, product_id: FromPath[UUID], if_match: IfMatch = None) -> None:
        """Delete a product.

        Existing orders keep its name and price.
        """
        await self.products.delete_product(product_id, expected_versions(if_match))
