"""Sign-in and sign-out with forms."""

from http.cookies import SimpleCookie

import pyotp
import pytest

from ops_app import ADMIN, MEMBER, PASSWORD, FormBrowser
from restwell.testing import ApiClient


async def test_an_admin_signs_in_with_the_form_and_signs_out_with_a_button(browser: FormBrowser) -> None:
    answer = await browser.sign_in_with_form()
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    cookies = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        cookies.load(header)
    assert {"__Host-access", "__Host-refresh"} <= cookies.keys()
    assert all(each["samesite"] == "Strict" and each["httponly"] and each["secure"] for each in cookies.values())
    page = await browser.open("/ops")
    before = dict(browser.cookies)
    answer = await browser.submit(page, "/ops/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops/sign-in")
    browser.cookies = before
    assert (await browser.get("/ops")).status_code == 401


async def test_a_user_who_is_no_admin_sees_a_page_that_says_so(browser: FormBrowser) -> None:
    await browser.sign_in_with_form(MEMBER)
    answer = await browser.get("/ops")
    assert answer.status_code == 403
    assert "Your role does not allow this." in answer.text
    assert 'href="/ops/sign-in"' in answer.text


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("email", [ADMIN, "unknown@app.example", "no address", ""])
async def test_wrong_credentials_show_the_form_again(browser: FormBrowser, email: str) -> None:
    answer = await browser.sign_in_with_form(email, "wrong")
    assert answer.status_code == 401
    assert "The email or the password is wrong." in answer.text
    assert "wrong" not in answer.text.replace("is wrong", "")
    assert "__Host-access" not in browser.cookies


async def test_the_code_of_a_second_factor_is_asked_for(browser: FormBrowser) -> None:
    user = await ApiClient(browser.client).sign_in(ADMIN, PASSWORD)
    secret = (await user.post("/v1/users/me/mfa", {"current_password": PASSWORD})).json()["secret"]
    enabled = await user.post("/v1/users/me/mfa/confirmation", {"code": pyotp.TOTP(secret).now()})
    recovery_code = enabled.json()["recovery_codes"][0]
    answer = await browser.sign_in_with_form()
    assert answer.status_code == 401
    assert 'name="code"' in answer.text
    answer = await browser.submit(answer.text, "/ops/sign-in", email=ADMIN, password=PASSWORD, code="000000")
    assert answer.status_code == 403
    assert "The code is invalid" in answer.text
    answer = await browser.submit(answer.text, "/ops/sign-in", email=ADMIN, password=PASSWORD, code=recovery_code)
    assert answer.status_code == 303


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/ops/cache?x=1", "/ops/cache?x=1"),
        ("/ops", "/ops"),
        ("https://evil.example/", "/ops"),
        ("//evil.example", "/ops"),
        ("/opsx", "/ops"),
        ("/v1/users/me", "/ops"),
        ("/ops/\r\nset-cookie: a=b", "/ops"),
    ],
)
async def test_sign_in_leads_to_pages_of_the_operations_page_only(
    browser: FormBrowser, asked: str, location: str
) -> None:
    """Breaks when ``next`` is used as it is: an open redirect."""
    answer = await browser.submit(
        await browser.open("/ops/sign-in"), "/ops/sign-in", email=ADMIN, password=PASSWORD, next=asked
    )
    assert (answer.status_code, answer.headers["location"]) == (303, location)


async def test_the_script_gets_new_tokens_when_the_session_continues(admin: FormBrowser) -> None:
    del admin.cookies["__Host-access"]
    assert (await admin.get("/ops")).status_code == 401
    assert (await admin.post("/ops/refresh")).status_code == 204
    assert (await admin.get("/ops")).status_code == 200
    admin.headers["sec-fetch-site"] = "cross-site"
    assert (await admin.post("/ops/refresh")).status_code == 403
