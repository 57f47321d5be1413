"""API keys of the application of the tests of accounts."""

from typing import Final

import httpx

from accounts_app import PASSWORD
from api_client import Json
from restwell.testing import ApiClient

KEYS: Final = "/v1/users/me/api-keys"


async def create_key(user: ApiClient, *scopes: str, password: str = PASSWORD, **more: object) -> Json:
    draft = {"name": "Backup script", "scopes": scopes or ["notes:read"], "current_password": password, **more}
    answer = await user.post(KEYS, draft)
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    assert answer.headers["location"] == f"{KEYS}/{created['id']}"
    return created


def program(user: ApiClient, created: Json) -> ApiClient:
    """A program that has the key."""
    return ApiClient(user.client, created["key"])


async def count_notes(created: Json, *nodes: httpx.AsyncClient) -> set[int]:
    """The status codes of a route for admins and keys with ``notes:read``."""
    return {(await ApiClient(node, created["key"]).get("/v1/notes/count")).status_code for node in nodes}
