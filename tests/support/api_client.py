"""A client that sends JSON with an access token, and assertions on problem responses."""

from typing import Any

import httpx

PATCH = "application/merge-patch+json"

Json = dict[str, Any]


class ApiClient:
    """``tokens`` is the response of a token endpoint: its access token is sent with each request."""

    def __init__(self, client: httpx.AsyncClient, access_token: str = "") -> None:
        self.client = client
        self.tokens: Json = {"access_token": access_token} if access_token else {}

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request. Header names have underscores instead of hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.tokens:
            sent.setdefault("authorization", f"Bearer {self.tokens['access_token']}")
        if body is not None and "content-type" not in sent:
            sent["content-type"] = PATCH if method == "PATCH" else "application/json"
        return (
            await self.client.request(method, path, json=body, headers=sent)
            if body is not None
            else (await self.client.request(method, path, headers=sent))
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("GET", path, **headers)


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
