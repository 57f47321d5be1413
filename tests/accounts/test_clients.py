"""OAuth clients: tokens, scopes and revocation."""

import asyncio
from base64 import b64encode

import httpx
import pytest

from api_client import Json, assert_problem
from cases import each
from restwell.testing import ApiClient

FORM = {"grant_type": "client_credentials"}


@pytest.fixture
async def made(admin: ApiClient) -> Json:
    """A client with two scopes."""
    draft = {"name": "Warehouse", "scopes": ["notes:read", "notes:delete", "notes:delete"]}
    answer = await admin.send("POST", "/v1/clients", draft)
    assert answer.status_code == 201, answer.text
    client: Json = answer.json()
    assert answer.headers["location"] == f"/v1/clients/{client['id']}"
    assert client["scopes"] == ["notes:delete", "notes:read"]
    return client


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": f"Basic {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


async def token(client: httpx.AsyncClient, made: Json, **form: str) -> httpx.Response:
    return await client.post("/v1/oauth/token", data={**FORM, **form}, headers=basic(made["id"], made["secret"]))


async def test_an_oauth_client_gets_a_token_and_may_use_its_scopes(
    client: httpx.AsyncClient, made: Json, member: ApiClient
) -> None:
    assert (await member.post("/v1/notes", {"text": "counted by a machine"})).status_code == 201
    answer = await token(client, made)
    assert answer.status_code == 200, answer.text
    granted = answer.json()
    assert granted.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 900)
    assert granted["scope"] == "notes:delete notes:read"
    assert answer.headers["cache-control"] == "no-store"
    oauth_client = ApiClient(client)
    oauth_client.tokens = granted
    assert (await oauth_client.get("/v1/notes/count")).json() == {"count": 1}
    assert (await oauth_client.delete("/v1/notes")).status_code == 204
    assert (await oauth_client.get("/v1/notes/count")).json() == {"count": 0}
    refused = await oauth_client.get("/v1/users/me")
    assert_problem(refused, 403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    refused = await oauth_client.get("/v1/security-events")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="events:read"'


async def test_one_of_several_concurrent_deletes_of_a_client_succeeds_and_the_others_get_a_404(
    admin: ApiClient, made: Json
) -> None:
    answers = await asyncio.gather(*(admin.delete(f"/v1/clients/{made['id']}") for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [204, 404, 404, 404]


async def test_an_oauth_client_may_request_fewer_scopes(client: httpx.AsyncClient, made: Json) -> None:
    oauth_client = ApiClient(client)
    oauth_client.tokens = (await token(client, made, scope="notes:read")).json()
    assert oauth_client.tokens["scope"] == "notes:read"
    assert_problem(await oauth_client.delete("/v1/notes"), 403, "insufficient_scope")


@each("scope", ["events:read", "notes:read events:read", "", "everything"])
async def test_an_oauth_client_cannot_request_other_scopes(client: httpx.AsyncClient, made: Json, scope: str) -> None:
    answer = await token(client, made, scope=scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_a_revoked_oauth_client_loses_access_at_once_and_no_other_does(
    client: httpx.AsyncClient, made: Json, admin: ApiClient
) -> None:
    """Fails without the check of the client on each request: its tokens stay valid for 15 minutes."""
    oauth_client = ApiClient(client)
    oauth_client.tokens = (await token(client, made)).json()
    other_client = (await admin.send("POST", "/v1/clients", {"name": "Other", "scopes": ["notes:read"]})).json()
    assert (await oauth_client.get("/v1/notes/count")).status_code == 200
    assert (await admin.send("DELETE", f"/v1/clients/{made['id']}")).status_code == 204
    assert_problem(await oauth_client.get("/v1/notes/count"), 401, "unauthorized")
    assert (await token(client, made)).status_code == 401
    assert_problem(await admin.send("DELETE", f"/v1/clients/{made['id']}"), 404, "not_found")
    listed = (await admin.get("/v1/clients")).json()["items"]
    assert [one["id"] for one in listed] == [other_client["id"]]
    assert "secret" not in listed[0]
    events = [(one["type"], one["detail"]) for one in (await admin.get("/v1/security-events")).json()["items"]]
    assert events[0] == ("client_revoked", "Warehouse")
    assert ("client_created", "Warehouse: notes:delete notes:read") in events


async def test_an_oauth_client_without_its_secret_gets_no_token(client: httpx.AsyncClient, made: Json) -> None:
    other = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
    headers = [
        basic(made["id"], "wrong"),
        basic(other, made["secret"]),
        basic("no-id", made["secret"]),
        {"authorization": "Basic !"},
        {"authorization": "Basic" + b64encode(b"no colon").decode()},
        {"authorization": "Bearer x"},
        {},
    ]
    for sent in headers:
        answer = await client.post("/v1/oauth/token", data=FORM, headers=sent)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), sent
        assert answer.headers["www-authenticate"] == "Basic"
        assert answer.headers["content-type"] == "application/json"


async def test_errors_of_the_token_endpoint_have_the_oauth_format(client: httpx.AsyncClient, made: Json) -> None:
    wrong: list[tuple[int, str, dict[str, str], str]] = [
        (400, "unsupported_grant_type", {"grant_type": "password"}, ""),
        (422, "invalid_request", {}, ""),
        (415, "invalid_request", FORM, "application/json"),
    ]
    for status, error, form, content_type in wrong:
        headers = basic(made["id"], made["secret"]) | ({"content-type": content_type} if content_type else {})
        answer = await client.post("/v1/oauth/token", data={**form, "x": "1"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.json().keys() == {"error", "error_description"}


async def test_an_oauth_client_without_scopes_or_with_an_unknown_one_is_refused(admin: ApiClient) -> None:
    for scopes in ([], ["everything"]):
        answer = await admin.send("POST", "/v1/clients", {"name": "Warehouse", "scopes": scopes})
        assert_problem(answer, 422, "invalid")
