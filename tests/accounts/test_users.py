"""User accounts: registration, access and updates."""

import httpx

from accounts_app import PASSWORD
from api_client import Json, assert_problem, error_paths
from cases import each
from restwell.testing import ApiClient

ADA = {"email": "Ada@Example.com", "password": "a long enough password", "name": "Ada Lovelace"}


async def test_a_user_registers_and_signs_in_with_any_case_of_the_address(anyone: ApiClient) -> None:
    answer = await anyone.send("POST", "/v1/users", ADA)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/users/me"
    user = answer.json()
    assert (user["email"], user["name"], user["role"], user["active"]) == (
        "ada@example.com",
        "Ada Lovelace",
        "member",
        True,
    )
    assert "password" not in answer.text
    ada = await anyone.sign_in("ADA@example.COM", ADA["password"])
    assert (await ada.get("/v1/users/me")).json() == user


async def test_a_registration_with_the_address_of_an_account_is_refused(anyone: ApiClient) -> None:
    assert (await anyone.send("POST", "/v1/users", ADA)).status_code == 201
    answer = await anyone.send("POST", "/v1/users", {**ADA, "email": "ADA@example.com"})
    assert_problem(answer, 409, "email_taken")


async def test_the_address_of_a_deactivated_account_cannot_be_registered_again(
    anyone: ApiClient, admin: ApiClient
) -> None:
    """Fails if registration looks for active accounts only: the owner of the address could undo the deactivation."""
    ada = (await anyone.send("POST", "/v1/users", ADA)).json()
    assert (await admin.patch(f"/v1/users/{ada['id']}", {"active": False})).status_code == 200
    assert_problem(await anyone.send("POST", "/v1/users", ADA), 409, "email_taken")


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
        ({**ADA, "role": "administrator"}, {"$.role"}),
        ([ADA], {"$"}),
    ],
)
async def test_an_invalid_registration_is_refused_naming_every_fault(
    anyone: ApiClient, body: Json, paths: set[str]
) -> None:
    problem = assert_problem(await anyone.send("POST", "/v1/users", body), 422, "invalid")
    assert error_paths(problem) == paths


async def test_a_patch_changes_only_the_fields_it_has(member: ApiClient) -> None:
    before = (await member.get("/v1/users/me")).json()
    answer = await member.send("PATCH", "/v1/users/me", {"name": "New Name"})
    assert answer.status_code == 200
    after = answer.json()
    assert after["name"] == "New Name"
    assert {**after, "name": before["name"], "updated_at": before["updated_at"]} == before
    assert (await member.send("PATCH", "/v1/users/me", {})).json()["name"] == "New Name"


@each(("body", "path"), [({"name": None}, "$.name"), ({"role": "administrator"}, "$.role"), ({"name": ""}, "$.name")])
async def test_an_invalid_patch_of_the_own_account_is_refused(member: ApiClient, body: Json, path: str) -> None:
    problem = assert_problem(await member.send("PATCH", "/v1/users/me", body), 422, "invalid")
    assert error_paths(problem) == {path}
    assert (await member.get("/v1/users/me")).json()["role"] == "member"


async def test_a_patch_that_is_not_a_merge_patch_is_refused(member: ApiClient) -> None:
    answer = await member.send("PATCH", "/v1/users/me", {"name": "x"}, content_type="application/json")
    assert_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept-patch"] == "application/merge-patch+json"


async def test_a_deleted_account_is_signed_out_and_its_address_is_free_again(
    anyone: ApiClient, client: httpx.AsyncClient
) -> None:
    await anyone.send("POST", "/v1/users", ADA)
    ada = await ApiClient(client).sign_in(ADA["email"], ADA["password"])
    assert (await ada.send("DELETE", "/v1/users/me")).status_code == 204
    assert_problem(await ada.get("/v1/users/me"), 401, "unauthorized")
    answer = await anyone.send("POST", "/v1/sessions", {"email": ADA["email"], "password": ADA["password"]})
    assert_problem(answer, 401, "invalid_credentials")
    assert (await anyone.send("POST", "/v1/users", ADA)).status_code == 201


async def test_an_admin_lists_every_account_page_by_page(admin: ApiClient) -> None:
    first = await admin.get("/v1/users?limit=2")
    page = first.json()
    assert len(page["items"]) == 2
    assert first.headers["link"] == f'</v1/users?limit=2&cursor={page["next_cursor"]}>; rel="next"'
    rest = (await admin.get(f"/v1/users?limit=2&cursor={page['next_cursor']}")).json()
    assert rest["next_cursor"] is None
    emails = [user["email"] for user in page["items"] + rest["items"]]
    assert sorted(emails) == ["admin@app.example", "member@app.example", "other@app.example"]


async def test_a_changed_role_takes_effect_at_once(admin: ApiClient, member: ApiClient) -> None:
    user = (await member.get("/v1/users/me")).json()
    assert_problem(await member.get("/v1/users"), 403, "forbidden")
    await admin.send("PATCH", f"/v1/users/{user['id']}", {"role": "administrator"})
    assert (await member.get("/v1/users")).status_code == 200
    await admin.send("PATCH", f"/v1/users/{user['id']}", {"role": "member"})
    assert_problem(await member.get("/v1/users"), 403, "forbidden")


async def test_a_deactivated_account_loses_access_at_once(
    admin: ApiClient, member: ApiClient, anyone: ApiClient
) -> None:
    user = (await member.get("/v1/users/me")).json()
    answer = await admin.send("PATCH", f"/v1/users/{user['id']}", {"active": False})
    assert answer.json()["active"] is False
    assert_problem(await member.get("/v1/users/me"), 401, "unauthorized")
    refresh = await anyone.send("POST", "/v1/sessions/refresh", {"refresh_token": member.tokens["refresh_token"]})
    assert_problem(refresh, 401, "invalid_refresh_token")
    body = {"email": user["email"], "password": PASSWORD}
    assert_problem(await anyone.send("POST", "/v1/sessions", body), 401, "invalid_credentials")


async def test_an_admin_cannot_lock_themselves_out(admin: ApiClient) -> None:
    own = (await admin.get("/v1/users/me")).json()
    for body in ({"active": False}, {"role": "member"}):
        assert_problem(await admin.send("PATCH", f"/v1/users/{own['id']}", body), 409, "own_account")


async def test_members_and_anonymous_callers_reach_no_other_account(
    member: ApiClient, anyone: ApiClient, admin: ApiClient
) -> None:
    own = (await admin.get("/v1/users/me")).json()
    for method, body in (("GET", None), ("PATCH", {"role": "member"})):
        assert_problem(await member.send(method, f"/v1/users/{own['id']}", body), 403, "forbidden")
        assert_problem(await anyone.send(method, f"/v1/users/{own['id']}", body), 401, "unauthorized")


async def test_an_unknown_account_gets_a_404(admin: ApiClient) -> None:
    for missing in ("0192f0c1-2a3b-7c4d-8e5f-60718293a4b5", "not-an-id"):
        assert_problem(await admin.get(f"/v1/users/{missing}"), 404, "not_found")
    answer = await admin.send("PATCH", "/v1/users/0192f0c1-2a3b-7c4d-8e5f-60718293a4b5", {"active": True})
    assert_problem(answer, 404, "not_found")
