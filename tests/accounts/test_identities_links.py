"""Identities that users link and unlink."""

import asyncio
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from accounts_app import create_app
from api_client import assert_problem
from oauth_browser import NAMES, OAuthBrowser, callback_path
from restwell import App
from restwell.accounts._identities import queries
from restwell.accounts._identities.models import identities
from restwell.database import param, query
from restwell.settings import Settings
from restwell.testing import ApiClient
from restwell.web import ACCESS_COOKIE, OAUTH_STATE_COOKIE


@pytest.fixture
def app(oauth_settings: Settings) -> App:
    return create_app(oauth_settings)


LOCK = query(
    "test.lock_identities",
    select(identities.c.provider).where(identities.c.user_id == param("user_id")).with_for_update(),
    into=str,
)


async def test_a_signed_in_user_adds_and_removes_a_linked_provider(
    browser: OAuthBrowser, client: httpx.AsyncClient, member: ApiClient, other: ApiClient
) -> None:
    path = "/v1/users/me/identities"
    begun = await member.send("POST", f"{path}/okta")
    browser.cookies[OAUTH_STATE_COOKIE] = SimpleCookie(begun.headers["set-cookie"])[OAUTH_STATE_COOKIE].value
    assert (await browser.get(await callback_path(begun.json()["url"]))).status_code == 200
    assert ACCESS_COOKIE not in browser.cookies, "linking does not sign in"
    (own,) = (await member.get(path)).json()["items"]
    assert (own["provider"], own["email"]) == ("okta", "ada@example.com")

    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["email"] == "member@app.example"

    stolen = await other.send("POST", f"{path}/okta")
    attacker = OAuthBrowser(client)
    attacker.cookies[OAUTH_STATE_COOKIE] = SimpleCookie(stolen.headers["set-cookie"])[OAUTH_STATE_COOKIE].value
    assert_problem(await attacker.get(await callback_path(stolen.json()["url"])), 409, "identity_taken")
    assert (await other.get(path)).json()["items"] == []

    assert_problem(await other.send("DELETE", f"{path}/okta"), 404, "not_found")
    # The second of two removals gets a 404. It was a 409 once, as for the last credential.
    removals = await asyncio.gather(*(member.send("DELETE", f"{path}/okta") for _ in range(4)))
    assert sorted(one.status_code for one in removals) == [204, 404, 404, 404]
    found = [one["type"] for one in (await member.get("/v1/security-events")).json()["items"]]
    assert found[:3] == ["identity_unlinked", "signed_in", "identity_linked"]


async def test_the_last_linked_provider_cannot_be_removed_without_a_password(
    browser: OAuthBrowser, client: httpx.AsyncClient
) -> None:
    await browser.sign_in_with()
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    answer = await client.delete("/v1/users/me/identities/okta", headers=headers)
    assert_problem(answer, 409, "last_credential")


@pytest.mark.slow
async def test_the_last_two_providers_cannot_be_removed_at_once(
    browser: OAuthBrowser, client: httpx.AsyncClient, app: App
) -> None:
    """Fails without the row lock: on PostgreSQL, each request sees the other's provider, and both are removed."""
    await browser.sign_in_with()
    me = await browser.me()
    async with app.kit.database.transaction() as tx:
        now = datetime.now(UTC)
        for provider in ("github", "facebook"):
            linked = {"provider": provider, "subject": "1", "email": None, "created_at": now}
            await tx.run(queries.insert_identity, user_id=UUID(me["id"]), **linked)
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    async with app.kit.database.transaction() as tx:
        await tx.all(LOCK, user_id=UUID(me["id"]))  # so that both transactions overlap
        removals = [
            asyncio.create_task(client.delete(f"/v1/users/me/identities/{provider}", headers=headers))
            for provider in NAMES
        ]
        await asyncio.sleep(0.3)
    assert sorted([(await one).status_code for one in removals]) == [204, 204, 409]
    left = (await client.get("/v1/users/me/identities", headers=headers)).json()["items"]
    assert len(left) == 1


async def test_a_user_who_deleted_the_account_can_register_again(
    browser: OAuthBrowser, client: httpx.AsyncClient
) -> None:
    await browser.sign_in_with()
    me = await browser.me()
    headers = {"cookie": f"{ACCESS_COOKIE}={browser.cookies[ACCESS_COOKIE]}", "sec-fetch-site": "same-origin"}
    assert (await client.delete("/v1/users/me", headers=headers)).status_code == 204
    browser.cookies.clear()
    assert (await browser.sign_in_with()).status_code == 200
    assert (await browser.me())["id"] != me["id"]
