"""Concurrent deletes of one resource: one succeeds, and the others get a 404."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shop_client import ShopClient

AT_ONCE = 4


async def a_client(admin: ShopClient) -> str:
    made = await admin.send("POST", "/v1/clients", {"name": "Robot", "scopes": ["orders:read"]})
    return f"/v1/clients/{made.json()['id']}"


async def a_session(admin: ShopClient) -> str:
    await ShopClient(admin.client).sign_in("admin@shop.example")
    found = (await admin.get("/v1/sessions")).json()["items"]
    return f"/v1/sessions/{next(one['id'] for one in found if not one['current'])}"


async def a_job(admin: ShopClient) -> str:
    draft = {"email": "new@example.com", "password": "an entirely new one", "name": "New"}
    assert (await admin.send("POST", "/v1/users", draft)).status_code == 201
    path = f"/v1/jobs/{(await admin.get('/v1/jobs?state=ready')).json()['items'][0]['id']}"
    assert (await admin.send("POST", f"{path}/cancellation")).status_code == 200
    return path


@pytest.mark.parametrize("make", [a_client, a_session, a_job])
async def test_one_of_several_concurrent_deletes_succeeds_and_the_others_get_a_404(
    admin: ShopClient, make: Callable[[ShopClient], Awaitable[str]]
) -> None:
    path = await make(admin)
    answers = await asyncio.gather(*(admin.send("DELETE", path) for _ in range(AT_ONCE)))
    assert sorted(one.status_code for one in answers) == [204] + [404] * (AT_ONCE - 1)
