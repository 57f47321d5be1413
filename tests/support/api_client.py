"""Assertions on problem responses."""

from typing import Any

import httpx

PATCH = "application/merge-patch+json"

Json = dict[str, Any]


def assert_problem(answer: httpx.Response, status: int, code: str) -> Json:
    """Assert that the response is this problem with all members. Returns the problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem: Json = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= problem.keys()
    return problem


def error_paths(problem: Json) -> set[str]:
    return {error["path"] for error in problem["errors"]}
