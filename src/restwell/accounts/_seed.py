"""Accounts that operators add: the demo accounts of a development database, and the first admin."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec import Struct, json
from sqlalchemy import select

from restwell._application import App
from restwell.accounts._options import AccountOptions
from restwell.accounts._users.models import users
from restwell.accounts._users.schemas import Email, Name, User
from restwell.accounts._users.service import EmailTaken, UserService
from restwell.database import Database, UniqueViolation, insert_row, param, query
from restwell.email_addresses import EmailAddress
from restwell.errors import ConfigurationError
from restwell.ids import new_id
from restwell.web._decoding import decode_body

_any_user: Final = query("demo.user", select(users.c.id).where(users.c.email == param("email")), into=UUID)
_insert_user: Final = query("demo.insert_user", insert_row(users, language=None, profile=None))


class SeedUser(Struct, frozen=True):
    """An account with a verified address."""

    email: str
    name: str
    role: str


class _NewUser(Struct, frozen=True):
    email: Email
    name: Name


async def seed_users(database: Database, seeds: Sequence[SeedUser], password: str) -> None:
    """Insert the users whose address has no account, all with this password. For development: runs no hooks."""
    by_email = {EmailAddress.parse(seed.email): seed for seed in seeds}
    missing = [(email, seed) for email, seed in by_email.items() if await database.find(_any_user, email=email) is None]
    if not missing:
        return
    from restwell.auth import Passwords  # noqa: PLC0415  # not loaded by an application without passwords

    now = datetime.now(UTC)
    passwords = Passwords()
    rows = [
        {
            "id": new_id(),
            "email": email,
            "email_verified_at": now,
            "name": seed.name,
            "password_hash": await passwords.hash(password),
            "role": seed.role,
            "active": True,
            "created_at": now,
            "updated_at": now,
        }
        for email, seed in missing
    ]
    passwords.close()
    async with database.transaction() as tx:
        await tx.run_many(_insert_user, rows)


def account_options(app: App) -> AccountOptions:
    """Raises ConfigurationError for an application without accounts."""
    try:
        return app.service(AccountOptions)
    except LookupError:
        raise ConfigurationError(["this application has no accounts: add restwell.accounts.Accounts to it"]) from None


async def add_user(app: App, email: str, name: str, password: str | None, role: str | None) -> User:
    """Add an account with a verified address, and without ``password`` if users have none. Registration hooks run.

    The app must be started. Raises ConfigurationError without accounts, with a directory, and for an unknown role;
    Invalid, EmailTaken, PasswordRejected.
    """
    options = account_options(app)
    if options.directory is not None:
        raise ConfigurationError(["users and passwords are in the directory of this application: add the user there"])
    if role is not None and role not in list(options.roles):
        raise ConfigurationError([f"unknown role {role}: use one of {', '.join(options.roles)}"])
    user: _NewUser = decode_body(json.encode({"email": email, "name": name}), _NewUser)
    password_hash = None
    if password is not None:
        password_hash = await app.kit.passwords.hash_new(password, user.email, user.name)
    try:
        async with app.kit.database.transaction() as tx:
            return await app.service(UserService).register_in(
                tx, user.email, user.name, password_hash=password_hash, email_verified=True, role=role
            )
    except UniqueViolation:
        raise EmailTaken from None
