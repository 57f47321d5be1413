"""The parts of the accounts that an application chooses."""

import httpx

from accounts_app import PASSWORD
from restwell.testing import ApiClient


async def test_an_application_with_accounts_registers_and_signs_in_users(client: httpx.AsyncClient) -> None:
    registration = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada Lovelace"}
    answer = await client.post("/v1/users", json=registration)
    assert answer.status_code == 201, answer.text
    assert answer.json()["role"] == "member", "the first role"
    ada = await ApiClient(client).sign_in(registration["email"], registration["password"])
    assert (await ada.get("/v1/users/me")).json() == answer.json()
    admin = await ApiClient(client).sign_in("admin@app.example", PASSWORD)
    changed = await admin.patch(f"/v1/users/{answer.json()['id']}", {"role": "administrator"})
    assert changed.json()["role"] == "administrator"
    assert (await admin.patch(f"/v1/users/{answer.json()['id']}", {"role": "owner"})).status_code == 422
