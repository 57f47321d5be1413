"""Every problem has a code that tells clients what to do."""

import grpc
import pytest
from google.rpc import error_details_pb2

from restwell.errors import FieldError, Problem
from restwell.grpc._status import code_of, status_of

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (0, "", Code.CANCELLED),
        (200, "", Code.OK),
        (400, "malformed_request", Code.INVALID_ARGUMENT),
        (401, "unauthorized", Code.UNAUTHENTICATED),
        (409, "out_of_stock", Code.FAILED_PRECONDITION),
        (409, "idempotency_key_in_flight", Code.ABORTED),
        (418, "teapot", Code.INVALID_ARGUMENT),
        (422, "invalid", Code.INVALID_ARGUMENT),
        (429, "rate_limited", Code.RESOURCE_EXHAUSTED),
        (499, "", Code.CANCELLED),
        (500, "internal_error", Code.INTERNAL),
        (502, "other", Code.INTERNAL),
        (503, "overloaded", Code.UNAVAILABLE),
        (503, "deadline_exceeded", Code.DEADLINE_EXCEEDED),
        (504, "", Code.DEADLINE_EXCEEDED),
    ],
)
def test_statuses_have_codes(status: int, code: str, expected: grpc.StatusCode) -> None:
    """Fails if a call that may have taken effect is UNAVAILABLE: clients repeat that by themselves."""
    assert code_of(status, code) == expected


def test_a_problem_is_a_status_with_details() -> None:
    problem = Problem(
        "about:blank", "Conflict", 422, "Two faults.", "invalid", "r1", [FieldError("$.a[0].b", "too long")]
    )
    status = status_of(problem, "library", "3")
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.RequestInfo()
    bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for found, detail in zip((info, request, bad, retry), status.details, strict=True):
        assert detail.Unpack(found)
    assert (status.code, status.message) == (Code.INVALID_ARGUMENT.value[0], "Two faults.")
    assert (info.reason, info.domain, dict(info.metadata)) == ("INVALID", "library", {"status": "422"})
    assert (request.request_id, retry.retry_delay.seconds) == ("r1", 3)
    assert [(each.field, each.description) for each in bad.field_violations] == [("a[0].b", "too long")]
