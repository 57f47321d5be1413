"""gRPC is a feature: it adds a service, and no route."""

from grpc_app import create_app
from restwell.grpc import GrpcServer
from restwell.settings import Settings


def test_an_application_with_grpc_has_its_server_and_no_other_route(tiny_settings: Settings) -> None:
    app = create_app(tiny_settings)
    assert app.service(GrpcServer) in app.transports
    assert not [route for route in app.routes if "library.v1" in route.path]
