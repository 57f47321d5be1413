"""Problems as statuses of gRPC, with the details of google.rpc."""

from http import HTTPStatus
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from restwell.edge._deadline import CLIENT_CLOSED_REQUEST
from restwell.errors import FieldError, Problem

DETAILS: Final = "grpc-status-details-bin"
"""The metadata with the details of a status."""
_BY_CODE: Final = {
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,  # not UNAVAILABLE, after which clients may retry
    "idempotency_key_in_flight": grpc.StatusCode.ABORTED,
    "streams_exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,  # as the library answers above its own limit of calls
}
_BY_STATUS: Final = {
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: grpc.StatusCode.UNIMPLEMENTED,
    HTTPStatus.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.PRECONDITION_FAILED: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.PRECONDITION_REQUIRED: grpc.StatusCode.FAILED_PRECONDITION,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.TOO_MANY_REQUESTS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    CLIENT_CLOSED_REQUEST: grpc.StatusCode.CANCELLED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(status: int, code: str = "") -> grpc.StatusCode:
    """The code for a status of HTTP and the code of a problem. A call without a status was cancelled."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if not status:
        return grpc.StatusCode.CANCELLED
    if status < HTTPStatus.BAD_REQUEST:
        return grpc.StatusCode.OK
    is_internal = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return _BY_STATUS.get(status, grpc.StatusCode.INTERNAL if is_internal else grpc.StatusCode.INVALID_ARGUMENT)


def status_of(problem: Problem, domain: str, retry_after: str | None) -> Status:
    """The problem: its code in upper case is the reason of ErrorInfo, its errors are violations of BadRequest."""
    info = ErrorInfo(reason=problem.code.upper(), domain=domain, metadata={"status": str(problem.status)})
    details: list[Message] = [info, RequestInfo(request_id=problem.request_id)]
    if problem.errors:
        details.append(
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field=each.path.removeprefix("$."), description=each.message)
                    for each in problem.errors
                ]
            )
        )
    if retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromSeconds(int(retry_after))
        details.append(retry)
    number: int = code_of(problem.status, problem.code).value[0]
    return Status(code=number, message=problem.detail, details=[_packed(each) for each in details])


def _packed(message: Message) -> Any:
    found = Any()
    found.Pack(message)
    return found


def problem_of(error: grpc.aio.AioRpcError) -> tuple[str, list[FieldError]]:
    """The code and the errors of the problem that ``status_of`` has written; an empty code for another status."""
    metadata = dict(error.trailing_metadata() or ())
    info, bad = ErrorInfo(), BadRequest()
    for detail in Status.FromString(metadata.get(DETAILS, b"")).details:
        for each in (info, bad):
            detail.Unpack(each)
    fields = [FieldError(f"$.{each.field}", each.description) for each in bad.field_violations]
    return info.reason.lower(), fields
