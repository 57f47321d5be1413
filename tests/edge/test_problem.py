"""A problem of the edge: what it consists of."""

import msgspec

from restwell.edge._problem import problem_response
from restwell.errors import FieldError, Invalid, ServiceUnavailable


def test_a_problem_has_its_length_and_the_headers_of_the_error() -> None:
    status, headers, body = problem_response(ServiceUnavailable(retry_after_seconds=7), "the-request")
    assert status == 503
    assert headers == [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"7"),
    ]
    assert msgspec.json.decode(body)["request_id"] == "the-request"


def test_a_problem_lists_the_errors_of_fields_only_if_there_are_some() -> None:
    body = problem_response(Invalid(errors=[FieldError("$.name", "required")]), "")[2]
    assert msgspec.json.decode(body)["errors"] == [{"path": "$.name", "message": "required"}]
    assert "errors" not in msgspec.json.decode(problem_response(ServiceUnavailable(), "")[2])
