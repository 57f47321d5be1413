"""gRPC as a feature of an application."""

from restwell.database import Database
from restwell.grpc._server import GrpcServer
from restwell.settings import Settings
from restwell.web import Feature


class Grpc(Feature):
    """Services of gRPC on GRPC_PORT, with handlers of the application as methods.

    ``services``: subclasses of generated servicers whose methods are ``rpc(...)``. The server has the health service,
    and reflection outside of production, or with GRPC_REFLECTION=on. Without GRPC_PORT it does not listen.
    """

    def __init__(self, *services: type) -> None:
        def build(database: Database, settings: Settings) -> GrpcServer:
            return GrpcServer(services, database=database, settings=settings)

        super().__init__(services=[build])
