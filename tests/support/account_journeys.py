"""Requests that cannot be generated: with codes from mails and authenticator apps, and with an identity provider."""

import time
from collections.abc import Awaitable, Callable

import pyotp

from oauth_browser import callback_path
from restwell import App
from restwell.testing import ApiClient, MailBox, OpenIdProvider, finish_jobs

Journey = Callable[[ApiClient], Awaitable[object]]


def account_journeys(  # noqa: PLR0915  # one place for all
    app: App,
    mail_box: MailBox,
    provider: OpenIdProvider,
    *,
    admin: str,
    member: str,
    password: str,
    version: str = "/v1",
) -> list[Journey]:
    """Every operation of accounts that needs such a value. ``admin`` and ``member`` are emails."""

    def new(caller: ApiClient) -> ApiClient:
        return ApiClient(caller.client, sessions_path=f"{version}/sessions")

    async def mails(anyone: ApiClient) -> None:
        caller = new(anyone)
        email = f"new{version.strip('/')}@a.example"
        await caller.post(f"{version}/users", {"email": email, "password": password, "name": "New"})
        await finish_jobs(app)
        welcome = await mail_box.wait_for(to=email)
        await caller.post(f"{version}/email-verifications/completion", {"code": welcome.code})
        await caller.sign_in(email, password)
        await caller.post(f"{version}/email-verifications", {"email": f"newer-{email}", "current_password": password})
        await caller.post(f"{version}/password-resets", {"email": email})
        await finish_jobs(app)
        reset = await mail_box.wait_for(to=email, subject="Reset")
        await caller.post(
            f"{version}/password-resets/completion", {"code": reset.code, "password": "three other words"}
        )

    async def sessions(anyone: ApiClient) -> None:
        caller = new(anyone)
        await caller.sign_in(member, password)
        await caller.refresh()
        for session in (await caller.get(f"{version}/sessions")).json()["items"]:
            await caller.delete(f"{version}/sessions/{session['id']}")
        await caller.sign_in(member, password)
        change = {"current_password": password, "new_password": "an entirely new one"}
        await caller.post(f"{version}/users/me/password", change)
        await caller.sign_in(member, "an entirely new one")
        change = {"current_password": "an entirely new one", "new_password": password}
        await caller.post(f"{version}/users/me/password", change)

    async def second_factor(anyone: ApiClient) -> None:
        caller = new(anyone)
        await caller.sign_in(member, password)
        begun = (await caller.post(f"{version}/users/me/mfa", {"current_password": password})).json()
        phone = pyotp.parse_uri(begun["uri"])
        assert isinstance(phone, pyotp.TOTP)
        now = int(time.time())
        await caller.post(f"{version}/users/me/mfa/confirmation", {"code": phone.at(now)})
        body = {"current_password": password, "code": phone.at(now + 30)}
        await caller.post(f"{version}/users/me/mfa/removal", body)

    async def client_credentials(anyone: ApiClient) -> None:
        caller = new(anyone)
        await caller.sign_in(admin, password)
        scopes = app.documents[version]["components"]["securitySchemes"]["client_credentials"]
        scope = next(iter(scopes["flows"]["clientCredentials"]["scopes"]))
        made = (await caller.post(f"{version}/clients", {"name": "report", "scopes": [scope]})).json()
        await caller.use_client_credentials(made["id"], made["secret"], path=f"{version}/oauth/token")
        owner = await new(anyone).sign_in(admin, password)
        body = {"name": "backup", "scopes": [scope], "current_password": password}
        key = (await owner.post(f"{version}/users/me/api-keys", body)).json()
        await owner.delete(f"{version}/users/me/api-keys/{key['id']}")
        await owner.delete(f"{version}/clients/{made['id']}")

    async def identities(anyone: ApiClient) -> None:
        caller = new(anyone)
        provider.sign_in_as(f"7{version}", email=f"eve-{version[1:]}@a.example", name="Eve")
        await caller.get(await caller.authorize(f"{version}/identities/okta/sign-in"))
        owner = await new(caller).sign_in(member, password, cookies=True)
        provider.sign_in_as(f"8{version}", email=member)
        begun = (await owner.post(f"{version}/users/me/identities/okta")).json()
        await owner.get(await callback_path(begun["url"]))
        await owner.delete(f"{version}/users/me/identities/okta")

    return [mails, sessions, second_factor, client_credentials, identities]
