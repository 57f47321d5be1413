"""A problem of the edge: what it consists of."""

import msgspec

from restwell.edge._problem import error_response
from restwell.errors import PROBLEMS, AppError, ErrorFormat, FieldError, Invalid, ServiceUnavailable


def test_a_problem_has_its_length_and_the_headers_of_the_error() -> None:
    status, headers, body = error_response(ServiceUnavailable(retry_after_seconds=7), "the-request", PROBLEMS)
    assert status == 503
    assert headers == [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"7"),
    ]
    assert msgspec.json.decode(body)["request_id"] == "the-request"


def test_a_problem_lists_the_errors_of_fields_only_if_there_are_some() -> None:
    body = error_response(Invalid(errors=[FieldError("$.name", "required")]), "", PROBLEMS)[2]
    assert msgspec.json.decode(body)["errors"] == [{"path": "$.name", "message": "required"}]
    assert "errors" not in msgspec.json.decode(error_response(ServiceUnavailable(), "", PROBLEMS)[2])


def test_an_application_may_have_its_own_form_of_errors() -> None:
    """Breaks when the media type, the status or the headers of the error are fixed."""

    def body(error: AppError, request_id: str) -> object:
        return {"errors": {error.code: [error.detail]}, "id": request_id}

    errors = ErrorFormat("application/vnd.example+json", body, dict, {"x-own": "1", "retry-after": "99"})
    status, headers, content = error_response(ServiceUnavailable("Later."), "the-request", errors)
    assert (status, dict(headers)) == (
        503,
        {
            b"content-type": b"application/vnd.example+json",
            b"content-length": str(len(content)).encode(),
            b"retry-after": b"1",
            b"x-own": b"1",
        },
    )
    assert msgspec.json.decode(content) == {"errors": {"service_unavailable": ["Later."]}, "id": "the-request"}
