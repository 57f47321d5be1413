"""The page of security events and sessions."""

import re

import pytest

from ops_app import MEMBER, PASSWORD, FormBrowser
from restwell.ids import new_id
from restwell.testing import ApiClient


async def test_an_admin_sees_the_events_and_sessions_of_a_user_and_ends_them(admin: FormBrowser) -> None:
    member = await ApiClient(admin.client).sign_in(MEMBER, PASSWORD)
    user_id = (await member.get("/v1/users/me")).json()["id"]
    assert "signed in" in await admin.open("/ops/security")
    page = await admin.open(f"/ops/security?user={user_id}")
    assert MEMBER in page
    assert "1 active" in page
    answer = await admin.submit(page, f"/ops/security/{user_id}/sign-out")
    assert answer.headers["location"] == f"/ops/security?user={user_id}"
    assert (await member.get("/v1/users/me")).status_code == 401
    page = await admin.open(answer.headers["location"])
    assert "The user has no active session." in page
    assert f"sign_out_user user_id={user_id}" in await admin.open("/ops/security")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_events_are_read_page_by_page(admin: FormBrowser) -> None:
    for number in range(51):
        page = await admin.open("/ops/cache")
        await admin.submit(page, "/ops/cache/clear", tag=f"tag:{number}")
    first = await admin.open("/ops/security")
    (older,) = re.findall(r'href="(\?user=&amp;cursor=[^"]+)"', first)
    second = await admin.open(f"/ops/security{older.replace('&amp;', '&')}")
    assert "tag:50" in first
    assert "tag:0" in second
    assert "tag:50" not in second


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_an_unknown_user_is_no_error_page(admin: FormBrowser) -> None:
    assert "This is no id of a user" in await admin.open("/ops/security?user=x")
    assert "There is no account with this id." in await admin.open(f"/ops/security?user={new_id()}")
