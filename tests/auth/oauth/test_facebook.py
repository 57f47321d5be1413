"""Sign-in with Facebook: the user comes from its Graph API."""

import hmac
from typing import Any

import pytest

from hostile_provider import hostile
from restwell.auth.oauth import InvalidSignIn
from restwell.auth.oauth._provider import Client

USERS: list[Any] = [{"id": "1", "email": {}}, {"id": "x"}, {"id": 1}, {"name": "Ada"}]


@pytest.mark.parametrize("user", USERS)
def test_an_invalid_user_of_facebook_is_refused(user: Any) -> None:
    with hostile() as (provider, sign_in):
        provider.answers["/me"] = 200, user
        with pytest.raises(InvalidSignIn):
            sign_in("facebook")


def test_an_address_from_facebook_is_never_verified() -> None:
    """Facebook does not say whether it is. Breaks when it counts as verified: it would take over an account."""
    with hostile() as (_, sign_in):
        identity = sign_in("facebook")[1]
    assert (identity.email, identity.email_verified) == ("ada@example.com", False)


def test_the_graph_api_gets_a_proof_of_the_secret() -> None:
    """Breaks without the proof: a stolen access token could be used without the secret."""
    with hostile() as (provider, sign_in):
        sign_in("facebook", client=Client("facebook", "shop", "secret", "https://www.facebook.com"))
        asked = provider.requests["/me"].url
    assert asked.host == "graph.facebook.com"
    assert asked.params["appsecret_proof"] == hmac.digest(b"secret", b"token", "sha256").hex()
