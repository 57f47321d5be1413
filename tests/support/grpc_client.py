"""Reads failures of gRPC calls, for tests."""

from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status


class Failure(NamedTuple):
    """``reason``, ``fields`` and ``retry_seconds``: from the details of the status."""

    code: grpc.StatusCode
    reason: str
    fields: list[str]
    retry_seconds: int
    metadata: dict[str, Any]


async def failure(call: Any) -> Failure:
    """How the call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call if hasattr(call, "__await__") else anext(call.__aiter__()))
    return failure_of(raised.value)


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    metadata = dict(error.trailing_metadata() or ())
    info, request, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RequestInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in Status.FromString(metadata.pop("grpc-status-details-bin", b"")).details:
        assert any(detail.Unpack(each) for each in (info, request, bad, retry))
    assert request.request_id == metadata.get("x-request-id", "")
    fields = [each.field for each in bad.field_violations]
    return Failure(error.code(), info.reason, fields, retry.retry_delay.seconds, metadata)


def token(role: str, **more: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call of this user."""
    return ("authorization", f"Bearer {role}"), *((name.replace("_", "-"), value) for name, value in more.items())
