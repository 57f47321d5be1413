"""GraphQL: the handlers of the routes as fields of a schema, with their guards, rate limits and idempotency keys.

An application adds it as a feature, ``POST /graphql``::

    @relation
    async def product(item: OrderItem, products: ProductService) -> Product | None:
        \"\"\"The product as it is now.\"\"\"
        return await products.get_product(item.product_id)

    graphql = GraphQL(
        queries={"product": ProductController.get_product, "orders": OrderController.list_orders},
        mutations={"placeOrder": OrderController.create_order},
        relations=[product],
    )

Needs the extra ``graphql``.
"""

from restwell._extras import needs_extra

with needs_extra("graphql", __name__):
    from restwell.graphql._feature import GraphQL
    from restwell.graphql._fields import Field, Limits, relation
    from restwell.graphql._server import GraphQLServer

__all__ = ["Field", "GraphQL", "GraphQLServer", "Limits", "relation"]
