from uuid import UUID

from restwell.accounts._passwords.check import PasswordCheck, Rejected, Verified
from restwell.accounts._users.service import UserService
from restwell.auth import Passwords
from restwell.database import Transaction


class StoredPasswords(PasswordCheck):
    """All methods raise PasswordsBusy."""

    def __init__(self, passwords: Passwords, users: UserService) -> None:
        self._passwords = passwords
        self._users = users

    async def check(self, email: str, password: str) -> Verified | Rejected:
        user = await self._users.find_credentials(email)
        hashed = user.password_hash if user is not None and user.active else None
        if not await self._passwords.verify(password, hashed) or user is None or hashed is None:
            return Rejected(user.id if user is not None else None)
        user_id = user.id
        new_hash = await self._passwords.hash(password) if self._passwords.needs_rehash(hashed) else None

        async def confirm_in(tx: Transaction) -> bool:
            current = await self._users.lock_credentials_in(tx, user_id)
            if current is None or not current.active or current.password_hash != hashed:
                return False
            if new_hash is not None:
                await self._users.rehash_password_in(tx, user_id, new_hash)
            return True

        return Verified(user_id, confirm_in)

    async def check_again(self, user_id: UUID, password: str) -> str | None:
        hashed = await self._users.find_password(user_id)
        return hashed if await self._passwords.verify(password, hashed) else None
