"""Errors as problems (RFC 9457)."""

import pytest

from restwell.errors import (
    AppError,
    BodyTooLarge,
    ConfigurationError,
    FieldError,
    Invalid,
    RequestTimeout,
    ServiceUnavailable,
    Unauthorized,
    UriTooLong,
)


def test_an_error_has_a_default_message_and_may_have_its_own() -> None:
    plain = AppError().problem("id")
    assert (plain.status, plain.title, plain.code) == (500, "Internal Server Error", "internal_error")
    problem = Invalid("Custom detail.", errors=[FieldError("$.a", "bad")]).problem("id")
    assert (problem.title, problem.detail, problem.errors[0].path) == ("Unprocessable Content", "Custom detail.", "$.a")


@pytest.mark.parametrize(
    ("error", "title"),
    [(BodyTooLarge(), "Content Too Large"), (UriTooLong(), "URI Too Long"), (Invalid(), "Unprocessable Content")],
)
def test_the_title_of_a_problem_is_the_phrase_of_rfc_9110(error: AppError, title: str) -> None:
    """Breaks with the phrases of ``http.HTTPStatus`` before Python 3.13."""
    assert error.problem("id").title == title


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Unauthorized("Expired."), {"www-authenticate": 'Bearer error="invalid_token"'}),
        (RequestTimeout(), {"connection": "close"}),
        (ServiceUnavailable(retry_after_seconds=7), {"retry-after": "7"}),
        (Invalid(headers={"accept": "text/plain"}), {"accept": "text/plain"}),
        (Invalid(), {}),
    ],
)
def test_an_error_has_the_headers_of_its_status(error: AppError, headers: dict[str, str]) -> None:
    assert error.headers == headers


def test_an_error_has_its_own_headers_and_errors() -> None:
    """Breaks with a shared default: the errors of one response would be in the next."""
    Invalid().errors.append(FieldError("$.a", "bad"))
    Invalid().headers["x-own"] = "yes"
    assert (Invalid().errors, Invalid().headers) == ([], {})


def test_a_configuration_error_names_all_its_faults() -> None:
    assert str(ConfigurationError(["PORT: not a number", "HOST: missing"])) == "PORT: not a number; HOST: missing"
