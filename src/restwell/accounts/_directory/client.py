"""Calls the directory of the application, with a deadline, and checks its answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from restwell.accounts._options import AccountOptions
from restwell.accounts._user_directory import DirectoryUnavailable, DirectoryUser, UserDirectory
from restwell.accounts._users.names import account_name
from restwell.email_addresses import EmailAddress

TIMEOUT_SECONDS: Final = 5


class DirectoryClient:
    """All methods raise DirectoryUnavailable if the directory fails, is slow, or returns an invalid user."""

    def __init__(self, directory: UserDirectory, options: AccountOptions) -> None:
        self._directory = directory
        self._roles = options.roles

    async def authenticate(self, email: str, password: str) -> DirectoryUser | None:
        if not password:
            return None  # RFC 4513 5.1.2: an LDAP bind with an empty password succeeds without authentication
        return await self._call(lambda: self._directory.authenticate(email, password))

    async def find(self, user_id: UUID) -> DirectoryUser | None:
        found = await self._call(lambda: self._directory.find(user_id))
        if found is not None and found.id != user_id:
            raise DirectoryUnavailable from ValueError(f"find({user_id}) returned the user {found.id}")
        return found

    async def _call(self, call: Callable[[], Awaitable[DirectoryUser | None]]) -> DirectoryUser | None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await call()
            return self._checked(found) if found is not None else None
        except Exception as error:  # of the application's code or of its libraries
            raise DirectoryUnavailable from error

    def _checked(self, user: DirectoryUser) -> DirectoryUser:
        """The user with a canonical address and a printable name. Raises ValueError, TypeError."""
        if not isinstance(user.id, UUID):
            raise TypeError(f"DirectoryUser.id is no UUID: {user.id!r}")
        email = EmailAddress.parse(user.email)
        return replace(user, email=email, name=account_name(user.name, email), role=self._roles(user.role))
