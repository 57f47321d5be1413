"""Who may create an account."""

from typing import Any

import pytest
from pydantic import SecretStr

from accounts_app import Role, create_app
from api_client import assert_problem
from restwell.accounts import Accounts
from restwell.settings import OauthSettings, Settings
from restwell.testing import ApiClient, OpenIdProvider, running


async def test_closed_registration_has_no_route_and_no_account_for_an_unknown_identity(settings: Settings) -> None:
    """Fails if sign-in with a provider ignores the option."""
    with OpenIdProvider() as provider:
        oauth = OauthSettings(providers=(SecretStr(provider.setting("okta")),))
        app = create_app(settings.model_copy(update={"oauth": oauth}), registration="closed")
        async with running(app) as client:
            anyone = ApiClient(client)
            ada = {"email": "ada@example.com", "password": "a long enough password", "name": "Ada"}
            assert_problem(await anyone.post("/v1/users", ada), 405, "method_not_allowed")
            assert_problem(await anyone.post("/v1/invitations/acceptance", {}), 404, "not_found")
            provider.sign_in_as("1", email="ada@example.com")
            refused = await anyone.get(await anyone.authorize("/v1/identities/okta/sign-in"))
            assert assert_problem(refused, 403, "sign_in_refused")["detail"] == (
                "There is no account for this identity, and registration is not open."
            )
            provider.sign_in_as("2", email="member@app.example")
            signed_in = await anyone.get(await anyone.authorize("/v1/identities/okta/sign-in"))
            assert signed_in.status_code == 200, "an existing account"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"registration": "invite"}, "registration is 'invite'; choose one of"),
        ({"registration": "invitation", "passwords": False, "identities": False}, "needs passwords=True or identities"),
    ],
)
def test_a_registration_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Accounts(roles=Role, **options)
