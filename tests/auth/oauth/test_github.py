"""Sign-in with GitHub: the user and the primary address come from its API."""

from typing import Any

import pytest

from hostile_provider import hostile
from restwell.auth.oauth import InvalidSignIn
from restwell.auth.oauth._provider import Client

ANSWERS: dict[str, tuple[str, Any]] = {
    "a huge id": ("/api/v3/user", {"id": 10**4_000, "login": "ada"}),
    "no id": ("/api/v3/user", {"login": "ada"}),
    "an address of another type": ("/api/v3/user/emails", [{"email": 5, "primary": True, "verified": True}]),
    "an error with status 200": ("/login/oauth/access_token", {"error": "bad_verification_code"}),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_invalid_answer_of_github_is_refused(case: str) -> None:
    path, answer = ANSWERS[case]
    with hostile() as (provider, sign_in):
        provider.answers[path] = 200, answer
        with pytest.raises(InvalidSignIn):
            sign_in("github")


def test_only_the_primary_address_counts_and_may_be_unverified() -> None:
    """Breaks when the first address is taken, or when an unverified one counts as verified."""
    with hostile() as (provider, sign_in):
        emails = [{"email": f"{name}@example.com", "primary": False, "verified": True} for name in "ab"]
        provider.answers["/api/v3/user/emails"] = 200, emails
        assert (sign_in("github")[1].email, sign_in("github")[1].email_verified) == (None, False)
        primary = {"email": "c@example.com", "primary": True, "verified": False}
        provider.answers["/api/v3/user/emails"] = 200, [*emails, primary]
        assert (sign_in("github")[1].email, sign_in("github")[1].email_verified) == ("c@example.com", False)


def test_github_com_has_its_api_at_another_host_than_an_enterprise_server() -> None:
    with hostile() as (provider, sign_in):
        provider.answers["/user"] = 200, {"id": 1, "login": "ada"}
        provider.answers["/user/emails"] = 200, []
        identity = sign_in("github", client=Client("github", "shop", "secret", "https://github.com"))[1]
        assert provider.requests["/user"].url.host == "api.github.com"
        assert provider.requests["/user"].headers["authorization"] == "Bearer token"
        assert identity.name == "ada", "without a name, the login"
