"""The page of the requests."""

import re

import pytest

from ops_app import FormBrowser


async def test_the_page_orders_routes_by_what_is_asked(admin: FormBrowser) -> None:
    for _ in range(3):
        await admin.get("/v1/nothing")
    await admin.get("/v1/users/me")
    page = await admin.open("/ops/requests?sort=busy")
    rows = re.findall(r'<th scope="row">.*?<code>(.*?)</code></th><td class="number">(\d+)', page)
    assert ("(no route)", "3") in rows
    assert [int(number) for _, number in rows] == sorted((int(number) for _, number in rows), reverse=True)
    for sort in ("slow", "errors", "time"):
        assert f'?sort={sort}" aria-current="true"' in await admin.open(f"/ops/requests?sort={sort}")


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_unknown_order_is_an_error_page(admin: FormBrowser) -> None:
    assert (await admin.get("/ops/requests?sort=nothing")).status_code == 422
