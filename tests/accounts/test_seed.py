"""Demo accounts: inserted where they are missing."""

from accounts_app import PASSWORD, USERS
from cleanup import count
from restwell import App
from restwell.accounts import SeedUser, seed_users
from restwell.database import Database
from restwell.testing import ApiClient


async def test_seeding_adds_the_missing_accounts_with_verified_addresses(
    app: App, anyone: ApiClient, database: Database
) -> None:
    """Fails if the address is stored as it is written: no sign-in would find it."""
    new = SeedUser("Ada@Example.com", "Ada", "member")
    for _ in range(2):
        await seed_users(database, [*USERS, new], "another password")
    assert await count(app, "users") == len(USERS) + 1
    ada = await anyone.sign_in("ada@example.com", "another password")
    me = (await ada.get("/v1/users/me")).json()
    assert (me["email"], me["email_verified"], me["role"]) == ("ada@example.com", True, "member")
    await anyone.sign_in(USERS[0].email, PASSWORD)
