"""The drain: responses close their connections once the process is about to stop."""

from edge_client import hello, scope_of, send_request
from restwell.edge._context import Hook, RequestContext
from restwell.edge._context import Response as RawResponse
from restwell.edge._drain import Drain
from restwell.edge._pipeline import Edge


class Teapot(Hook):
    """Answers every request itself."""

    def admit(self, context: RequestContext) -> RawResponse:  # noqa: ARG002  # the signature of Hook
        return 418, [], b""


async def fields_of(edge: Edge) -> list[tuple[bytes, bytes]]:
    started, *_ = await send_request(edge, scope_of("GET", "/"))
    return list(started["headers"])


async def test_a_response_closes_its_connection_only_while_the_process_drains() -> None:
    """Fails if the hook comes after one that answers, or if it adds the field always."""
    drain = Drain()
    for edge in (Edge(hello, [drain]), Edge(hello, [drain, Teapot()])):
        drain.is_draining = False
        assert (b"connection", b"close") not in await fields_of(edge)
        drain.is_draining = True
        assert (b"connection", b"close") in await fields_of(edge)


def test_a_process_is_not_stopping_unless_its_server_says_so() -> None:
    assert Drain().is_stopping() is False
