"""What the directory decides: who signs in, and whose session is refreshed."""

from functools import partial
from uuid import UUID

from restwell.accounts._directory.client import DirectoryClient
from restwell.accounts._passwords.check import PasswordCheck, Rejected, Verified
from restwell.accounts._sessions.refresh_check import RefreshCheck
from restwell.accounts._user_directory import DirectoryUnavailable, DirectoryUser
from restwell.accounts._users.directory_accounts import DirectoryAccounts
from restwell.accounts._users.service import UserService
from restwell.database import Database, Transaction, UniqueViolation


class DirectoryPasswords(PasswordCheck):
    """All methods raise DirectoryUnavailable."""

    def __init__(self, directory: DirectoryClient, accounts: DirectoryAccounts, users: UserService) -> None:
        self._directory = directory
        self._accounts = accounts
        self._users = users

    async def check(self, email: str, password: str) -> Verified | Rejected:
        user = await self._directory.authenticate(email, password)
        if user is not None and user.active:
            return Verified(user.id, partial(_put_in, self._accounts, user))
        if user is not None:
            await self._accounts.deactivate(user.id)
        known = await self._users.find_credentials(email)
        return Rejected(known.id if known is not None else None)

    async def check_again(self, user_id: UUID, password: str) -> str | None:
        known = await self._users.get_user(user_id)
        user = await self._directory.authenticate(known.email, password)
        return "" if user is not None and user.active and user.id == user_id else None


class DirectoryRefresh(RefreshCheck):
    def __init__(self, database: Database, directory: DirectoryClient, accounts: DirectoryAccounts) -> None:
        self._database = database
        self._directory = directory
        self._accounts = accounts

    async def check_user(self, user_id: UUID) -> None:
        """Update the account. Deactivates that of a user who is gone or inactive. Raises DirectoryUnavailable."""
        user = await self._directory.find(user_id)
        if user is None or not user.active:
            await self._accounts.deactivate(user_id)
            return
        async with self._database.transaction() as tx:
            await _put_in(self._accounts, user, tx)


async def _put_in(accounts: DirectoryAccounts, user: DirectoryUser, tx: Transaction) -> bool:
    try:
        await accounts.put_in(tx, user)
    except UniqueViolation as error:  # two users got the same address at the same time
        raise DirectoryUnavailable from error
    return True
