"""Forms of other sites are refused."""

import re

import httpx
import pytest

from ops_app import FormBrowser


def token_in(page: str) -> str:
    return str(re.findall(r'name="csrf" value="([^"]+)"', page)[0])


async def test_an_action_needs_the_token_of_a_form_that_this_browser_got(
    admin: FormBrowser, client: httpx.AsyncClient
) -> None:
    """CSRF. Fails without ``FormTokens.check`` in ``Actions.admit``: each of these would clear the cache."""
    page = await admin.open("/ops/cache")
    token = token_in(page)
    other = token_in(await FormBrowser(client).open("/ops/sign-in"))
    for fields in ({}, {"csrf": ""}, {"csrf": "x"}, {"csrf": other}, {"csrf": token[:-1]}):
        answer = await admin.send_form("/ops/cache/clear", {"tag": "a", **fields})
        assert answer.status_code == 403, fields
        assert "Go back, reload the page" in answer.text
    as_json = await admin.post("/ops/cache/clear", {"csrf": token, "tag": "a"})
    assert as_json.status_code in {403, 415}
    assert (await admin.send_form("/ops/cache/clear", {"csrf": token, "tag": "a"})).status_code == 303


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
async def test_an_action_of_another_site_is_refused_even_with_a_token(admin: FormBrowser, site: str) -> None:
    token = token_in(await admin.open("/ops/cache"))
    answer = await admin.send_form("/ops/cache/clear", {"csrf": token}, **{"sec-fetch-site": site})
    assert answer.status_code == 403
    for path in ("/ops/sign-in", "/ops/sign-out"):
        fields = {"csrf": token, "email": "a", "password": "b"}
        assert (await admin.send_form(path, fields, **{"sec-fetch-site": site})).status_code == 403


async def test_sign_in_and_sign_out_need_a_token_too(admin: FormBrowser) -> None:
    """Fails without the check in ``sign_in``: another site could sign a browser in as somebody else."""
    assert (await admin.send_form("/ops/sign-in", {"email": "a@b.example", "password": "b"})).status_code == 403
    assert (await admin.send_form("/ops/sign-out", {})).status_code == 403
    assert (await admin.get("/ops")).status_code == 200
