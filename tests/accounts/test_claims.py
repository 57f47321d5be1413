"""The application's own claims of access tokens: ``Accounts(claims=...)``."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from msgspec import Struct
from sqlalchemy import text

from accounts_app import PASSWORD, Role, create_app
from restwell.accounts import Accounts, User, UserClaims, UserService
from restwell.auth import Actor
from restwell.database import Database, Transaction, query
from restwell.settings import Settings
from restwell.testing import ApiClient, running
from restwell.web import Controller, Feature, get, signed_in

_count: Final = query("test.sessions", text("SELECT count(*) FROM sessions"), into=int)


class Seen(Struct, frozen=True):
    claims: dict[str, Any]


class ClaimsController(Controller):
    path = "/claims"

    @get(guards=[signed_in])
    async def get_claims(self, actor: Actor) -> Seen:
        """Retrieve the claims of your token."""
        return Seen(dict(actor.claims))


seen: Final = Feature(controllers=[ClaimsController])


def initial(user: User) -> Mapping[str, Any]:
    return {"initial": user.name[0], "plan": {"name": "free"}}


async def asynchronous(user: User) -> Mapping[str, Any]:
    return initial(user)


class SessionCount(UserClaims):
    def __init__(self, database: Database) -> None:
        self._dialect = database.dialect

    async def read_claims(self, tx: Transaction, _user: User) -> Mapping[str, Any]:
        return {"dialect": self._dialect, "sessions": await tx.one(_count)}


async def sign_in(client: Any) -> ApiClient:
    return await ApiClient(client).sign_in("member@app.example", PASSWORD)


async def claims_of(api: ApiClient) -> Any:
    answer = await api.get("/claims")
    assert answer.status_code == 200, answer.text
    return answer.json()["claims"]


@pytest.mark.parametrize("claims", [initial, asynchronous])
async def test_a_function_gives_the_claims_at_sign_in_and_refresh(settings: Settings, claims: Any) -> None:
    """Breaks when the refresh issues a token without claims, or when the actor has none."""
    async with running(create_app(settings, seen, claims=claims)) as client:
        member = await sign_in(client)
        assert await claims_of(member) == {"initial": "M", "plan": {"name": "free"}}
        await member.patch("/v1/users/me", {"name": "Nadia"})
        assert (await claims_of(member))["initial"] == "M", "until the token is refreshed"
        token = member.tokens["refresh_token"]
        assert (await claims_of(await member.refresh()))["initial"] == "N"
        repeated = await client.post("/v1/sessions/refresh", json={"refresh_token": token})
        assert (await claims_of(ApiClient(client, repeated.json()["access_token"])))["initial"] == "N"


async def test_a_class_is_a_service_and_reads_in_the_transaction_of_the_sign_in(settings: Settings) -> None:
    """Breaks outside of the transaction: the new session is not yet there."""
    async with running(create_app(settings, seen, claims=SessionCount)) as client:
        assert [(await claims_of(await sign_in(client)))["sessions"] for _ in range(2)] == [1, 2]


async def test_a_reserved_claim_is_refused_and_no_session_is_created(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings, seen, claims=lambda _: {"sub": "admin"})
    async with running(app) as client:
        answer = await client.post("/v1/sessions", json={"email": "member@app.example", "password": PASSWORD})
        assert answer.status_code == 500
        assert await app.kit.database.one(_count) == 0
    assert "own claims may not be named 'sub'" in "".join(capsys.readouterr())


async def test_without_claims_a_refresh_does_not_read_the_account(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise AssertionError

    async with running(create_app(settings, seen)) as client:
        member = await sign_in(client)
        monkeypatch.setattr(UserService, "find_active", fail)
        assert await claims_of(await member.refresh()) == {}


@pytest.mark.parametrize("claims", [dict, "tenant", {"tenant": 1}])
def test_claims_that_are_neither_a_function_nor_a_service_are_an_error_at_start(claims: Any) -> None:
    with pytest.raises(TypeError, match="Accounts: claims must be a subclass of UserClaims or a function"):
        Accounts(roles=Role, claims=claims)
