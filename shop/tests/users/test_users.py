"""User accounts: registration, access and updates."""

import asyncio
from uuid import UUID

import httpx

from api_client import Json, assert_problem, error_paths
from cases import each
from restwell.accounts import AccountHooks
from restwell.database import Transaction
from restwell.errors import Conflict
from restwell.testing import running
from shop.app import create_app
from shop.demo import PASSWORD
from shop.settings import ShopSettings
from shop_client import ShopClient

ADA = {"email": "Ada@Example.com", "password": "a long enough password", "name": "Ada Lovelace"}


async def test_a_user_registers_and_signs_in_with_any_case_of_the_address(anyone: ShopClient) -> None:
    answer = await anyone.send("POST", "/v1/users", ADA)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/users/me"
    user = answer.json()
    assert (user["email"], user["name"], user["role"], user["active"]) == (
        "ada@example.com",
        "Ada Lovelace",
        "customer",
        True,
    )
    assert "password" not in answer.text
    ada = await anyone.sign_in("ADA@example.COM", ADA["password"])
    assert (await ada.get("/v1/users/me")).json() == user


async def test_a_registration_with_the_address_of_an_account_is_refused(anyone: ShopClient) -> None:
    assert (await anyone.send("POST", "/v1/users", ADA)).status_code == 201
    answer = await anyone.send("POST", "/v1/users", {**ADA, "email": "ADA@example.com"})
    assert_problem(answer, 409, "email_taken")


@each(
    ("body", "paths"),
    [
        ({}, {"$.email", "$.password", "$.name"}),
        ({**ADA, "email": "ada"}, {"$.email"}),
        ({**ADA, "email": "a@b.c\u0000"}, {"$.email"}),
        ({**ADA, "email": f"{'a' * 250}@b.co"}, {"$.email"}),
        ({**ADA, "password": "short"}, {"$.password"}),
        ({**ADA, "password": "p" * 129}, {"$.password"}),
        ({**ADA, "name": "   "}, {"$.name"}),
        ({**ADA, "name": "a\u0000b"}, {"$.name"}),
        ({**ADA, "name": "two lines\n"}, {"$.name"}),
        ({**ADA, "email": "a@b.co\n"}, {"$.email"}),
        ({**ADA, "name": 5, "email": None}, {"$.name", "$.email"}),
        ({**ADA, "role": "admin"}, {"$.role"}),
        ([ADA], {"$"}),
    ],
)
async def test_an_invalid_registration_is_refused_naming_every_fault(
    anyone: ShopClient, body: Json, paths: set[str]
) -> None:
    problem = assert_problem(await anyone.send("POST", "/v1/users", body), 422, "invalid")
    assert error_paths(problem) == paths


async def test_a_patch_changes_only_the_fields_it_has(customer: ShopClient) -> None:
    before = (await customer.get("/v1/users/me")).json()
    answer = await customer.send("PATCH", "/v1/users/me", {"name": "New Name"})
    assert answer.status_code == 200
    after = answer.json()
    assert after["name"] == "New Name"
    assert {**after, "name": before["name"], "updated_at": before["updated_at"]} == before
    assert (await customer.send("PATCH", "/v1/users/me", {})).json()["name"] == "New Name"


@each(("body", "path"), [({"name": None}, "$.name"), ({"role": "admin"}, "$.role"), ({"name": ""}, "$.name")])
async def test_an_invalid_patch_of_the_own_account_is_refused(customer: ShopClient, body: Json, path: str) -> None:
    problem = assert_problem(await customer.send("PATCH", "/v1/users/me", body), 422, "invalid")
    assert error_paths(problem) == {path}
    assert (await customer.get("/v1/users/me")).json()["role"] == "customer"


async def test_a_patch_that_is_not_a_merge_patch_is_refused(customer: ShopClient) -> None:
    answer = await customer.send("PATCH", "/v1/users/me", {"name": "x"}, content_type="application/json")
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept-patch"] == "application/merge-patch+json"


async def test_a_deleted_account_is_signed_out_and_its_address_is_free_again(
    anyone: ShopClient, client: httpx.AsyncClient
) -> None:
    await anyone.send("POST", "/v1/users", ADA)
    ada = await ShopClient(client).sign_in(ADA["email"], ADA["password"])
    assert (await ada.send("DELETE", "/v1/users/me")).status_code == 204
    assert_problem(await ada.get("/v1/users/me"), 401, "unauthorized")
    answer = await anyone.send("POST", "/v1/sessions", {"email": ADA["email"], "password": ADA["password"]})
    assert_problem(answer, 401, "invalid_credentials")
    assert (await anyone.send("POST", "/v1/users", ADA)).status_code == 201


async def test_an_admin_lists_every_account_page_by_page(admin: ShopClient) -> None:
    first = await admin.get("/v1/users?limit=2")
    page = first.json()
    assert len(page["items"]) == 2
    assert first.headers["link"] == f'</v1/users?limit=2&cursor={page["next_cursor"]}>; rel="next"'
    rest = (await admin.get(f"/v1/users?limit=2&cursor={page['next_cursor']}")).json()
    assert rest["next_cursor"] is None
    emails = [user["email"] for user in page["items"] + rest["items"]]
    assert sorted(emails) == ["admin@shop.example", "customer1@shop.example", "customer2@shop.example"]


async def test_a_changed_role_takes_effect_at_once(admin: ShopClient, customer: ShopClient) -> None:
    user = (await customer.get("/v1/users/me")).json()
    assert_problem(await customer.get("/v1/users"), 403, "forbidden")
    await admin.send("PATCH", f"/v1/users/{user['id']}", {"role": "admin"})
    assert (await customer.get("/v1/users")).status_code == 200
    await admin.send("PATCH", f"/v1/users/{user['id']}", {"role": "customer"})
    assert_problem(await customer.get("/v1/users"), 403, "forbidden")


async def test_a_deactivated_account_loses_access_at_once(
    admin: ShopClient, customer: ShopClient, anyone: ShopClient
) -> None:
    user = (await customer.get("/v1/users/me")).json()
    answer = await admin.send("PATCH", f"/v1/users/{user['id']}", {"active": False})
    assert answer.json()["active"] is False
    assert_problem(await customer.get("/v1/users/me"), 401, "unauthorized")
    refresh = await anyone.send("POST", "/v1/sessions/refresh", {"refresh_token": customer.tokens["refresh_token"]})
    assert_problem(refresh, 401, "invalid_refresh_token")
    body = {"email": user["email"], "password": "demo-password-2026"}
    assert_problem(await anyone.send("POST", "/v1/sessions", body), 401, "invalid_credentials")


async def test_an_admin_cannot_lock_themselves_out(admin: ShopClient) -> None:
    own = (await admin.get("/v1/users/me")).json()
    for body in ({"active": False}, {"role": "customer"}):
        assert_problem(await admin.send("PATCH", f"/v1/users/{own['id']}", body), 409, "own_account")


async def test_customers_and_anonymous_callers_reach_no_other_account(
    customer: ShopClient, anyone: ShopClient, admin: ShopClient
) -> None:
    own = (await admin.get("/v1/users/me")).json()
    for method, body in (("GET", None), ("PATCH", {"role": "customer"})):
        assert_problem(await customer.send(method, f"/v1/users/{own['id']}", body), 403, "forbidden")
        assert_problem(await anyone.send(method, f"/v1/users/{own['id']}", body), 401, "unauthorized")


async def test_an_unknown_account_gets_a_404(admin: ShopClient) -> None:
    for missing in ("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5", "not-an-id"):
        assert_problem(await admin.get(f"/v1/users/{missing}"), 404, "not_found")
    answer = await admin.send("PATCH", "/v1/users/0192f0c1-2a3b-7c4d-8e5f-60718293a4b5", {"active": True})
    assert_problem(answer, 404, "not_found")


async def test_a_new_password_revokes_all_other_sessions(client: httpx.AsyncClient, customer: ShopClient) -> None:
    """Fails without ``revoke_others_in``: an attacker with the old password stays signed in."""
    phone = await ShopClient(client).sign_in("customer1@shop.example")
    change = {"current_password": PASSWORD, "new_password": "an entirely new one"}
    assert (await customer.send("POST", "/v1/users/me/password", change)).status_code == 204
    assert_problem(await phone.get("/v1/users/me"), 401, "unauthorized")
    assert (await customer.get("/v1/users/me")).status_code == 200
    await ShopClient(client).sign_in("customer1@shop.example", "an entirely new one")
    old = {"email": "customer1@shop.example", "password": PASSWORD}
    assert_problem(await client.post("/v1/sessions", json=old), 401, "invalid_credentials")


async def test_only_a_user_who_knows_the_password_changes_it(customer: ShopClient) -> None:
    wrong = {"current_password": "a wrong password", "new_password": "an entirely new one"}
    assert_problem(await customer.send("POST", "/v1/users/me/password", wrong), 403, "wrong_password")
    common = {"current_password": PASSWORD, "new_password": "customer1@shop.example"}
    assert_problem(await customer.send("POST", "/v1/users/me/password", common), 422, "common_password")


async def test_one_of_several_concurrent_password_changes_succeeds(
    client: httpx.AsyncClient, customer: ShopClient
) -> None:
    """Fails without the old hash in the UPDATE: both succeed, and one of the new passwords does not work."""
    wanted = [f"an entirely new one, {number}" for number in range(4)]
    answers = await asyncio.gather(
        *(
            customer.send("POST", "/v1/users/me/password", {"current_password": PASSWORD, "new_password": password})
            for password in wanted
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204, 403, 403, 403]
    (set_one,) = (password for password, answer in zip(wanted, answers, strict=True) if answer.status_code == 204)
    await ShopClient(client).sign_in("customer1@shop.example", set_one)


class FailingHook:
    def __init__(self, hooks: AccountHooks) -> None:
        hooks.on_deleted.append(self.fail)

    async def fail(self, _tx: Transaction, _user_id: UUID) -> None:
        raise Conflict


async def test_a_deletion_whose_hook_fails_changes_nothing(settings: ShopSettings) -> None:
    """Fails if the hooks run after the commit."""
    async with running(create_app(settings, replacements=[FailingHook])) as client:
        customer = await ShopClient(client).sign_in("customer1@shop.example")
        before = (await customer.get("/v1/users/me")).json()
        assert_problem(await customer.send("DELETE", "/v1/users/me"), 409, "conflict")
        assert (await customer.get("/v1/users/me")).json() == before
