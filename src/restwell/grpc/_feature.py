"""gRPC as a feature of an application."""

from restwell.database import Database
from restwell.grpc._server import GrpcServer
from restwell.settings import Settings
from restwell.web import Feature


class Grpc(Feature):
    """Services of gRPC on GRPC_PORT, with handlers of the application as methods.

    ``services``: subclasses of generated servicers whose methods are ``rpc(...)``. The server has the health service,
    and reflection outside of production, or with GRPC_REFLECTION=on. Without GRPC_PORT it does not listen.
    ``streams``: how many may be open in a worker process. ``streams_per_client``: of a user in it, or of a network
    without a user.
    """

    def __init__(self, *services: type, streams: int = 1_000, streams_per_client: int = 100) -> None:
        def build(database: Database, settings: Settings) -> GrpcServer:
            return GrpcServer(
                services,
                streams=streams,
                streams_per_client=streams_per_client,
                database=database,
                settings=settings,
            )

        super().__init__(services=[build])
