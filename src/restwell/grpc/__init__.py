"""gRPC: the handlers of the routes as methods of generated services, with their guards, limits and idempotency keys.

An application adds it as a feature. It listens on GRPC_PORT::

    class Catalog(CatalogServiceServicer):  # generated from a .proto file
        GetProduct = rpc(ProductController.get_product)
        ListProducts = rpc(ProductController.list_products)

    grpc = Grpc(Catalog)

``GrpcClient`` calls such a service, or another one. Needs the extra ``grpc``.
"""

from restwell._extras import needs_extra

with needs_extra("grpc", __name__):
    from restwell.grpc._client import GrpcClient
    from restwell.grpc._feature import Grpc
    from restwell.grpc._methods import rpc
    from restwell.grpc._server import GrpcServer

__all__ = ["Grpc", "GrpcClient", "GrpcServer", "rpc"]
