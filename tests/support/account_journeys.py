"""Requests that cannot be generated: with codes from mails and authenticator apps, and with an identity provider."""

import time
from collections.abc import Awaitable, Callable

import pyotp

from oauth_browser import callback_path
from restwell import App
from restwell.testing import ApiClient, MailBox, OpenIdProvider, finish_jobs

Journey = Callable[[ApiClient], Awaitable[object]]


def account_journeys(
    app: App, mail_box: MailBox, provider: OpenIdProvider, *, admin: str, member: str, password: str
) -> list[Journey]:
    """Every operation of accounts that needs such a value. ``admin`` and ``member`` are emails."""

    async def mails(caller: ApiClient) -> None:
        await caller.post("/v1/users", {"email": "new@a.example", "password": password, "name": "New"})
        await finish_jobs(app)
        welcome = await mail_box.wait_for(to="new@a.example")
        await caller.post("/v1/email-verifications/completion", {"code": welcome.code})
        await caller.sign_in("new@a.example", password)
        await caller.post("/v1/email-verifications", {"email": "newer@a.example", "current_password": password})
        await caller.post("/v1/password-resets", {"email": "new@a.example"})
        await finish_jobs(app)
        reset = await mail_box.wait_for(to="new@a.example", subject="Reset")
        await caller.post("/v1/password-resets/completion", {"code": reset.code, "password": "three other words"})

    async def sessions(caller: ApiClient) -> None:
        await caller.sign_in(member, password)
        await caller.refresh()
        for session in (await caller.get("/v1/sessions")).json()["items"]:
            await caller.delete(f"/v1/sessions/{session['id']}")
        await caller.sign_in(member, password)
        change = {"current_password": password, "new_password": "an entirely new one"}
        await caller.post("/v1/users/me/password", change)
        await caller.sign_in(member, "an entirely new one")
        change = {"current_password": "an entirely new one", "new_password": password}
        await caller.post("/v1/users/me/password", change)

    async def second_factor(caller: ApiClient) -> None:
        await caller.sign_in(member, password)
        begun = (await caller.post("/v1/users/me/mfa", {"current_password": password})).json()
        phone = pyotp.parse_uri(begun["uri"])
        assert isinstance(phone, pyotp.TOTP)
        now = int(time.time())
        await caller.post("/v1/users/me/mfa/confirmation", {"code": phone.at(now)})
        body = {"current_password": password, "code": phone.at(now + 30)}
        await caller.post("/v1/users/me/mfa/removal", body)

    async def client_credentials(caller: ApiClient) -> None:
        await caller.sign_in(admin, password)
        scopes = next(iter(app.documents.values()))["components"]["securitySchemes"]["client_credentials"]
        scope = next(iter(scopes["flows"]["clientCredentials"]["scopes"]))
        made = (await caller.post("/v1/clients", {"name": "report", "scopes": [scope]})).json()
        await caller.use_client_credentials(made["id"], made["secret"])

    async def identities(caller: ApiClient) -> None:
        provider.sign_in_as("7", email="eve@a.example", name="Eve")
        await caller.get(await caller.authorize("/v1/identities/okta/sign-in"))
        await ApiClient(caller.client).sign_in(member, password)
        owner = await ApiClient(caller.client).sign_in(member, password, cookies=True)
        provider.sign_in_as("8", email=member)
        begun = (await owner.post("/v1/users/me/identities/okta")).json()
        await owner.get(await callback_path(begun["url"]))
        await owner.delete("/v1/users/me/identities/okta")

    return [mails, sessions, second_factor, client_credentials, identities]
