"""Where passwords are checked: against the stored hashes, or by the directory of the application."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import UUID

from restwell.database import Transaction


class Verified(NamedTuple):
    """The user with this password. ``confirm_in`` is called in the transaction of the sign-in.

    It returns False if the account has changed since.
    """

    user_id: UUID
    confirm_in: Callable[[Transaction], Awaitable[bool]]


class Rejected(NamedTuple):
    """A wrong address or password. ``user_id``: the account with this address, if there is one."""

    user_id: UUID | None


class PasswordCheck(ABC):
    @abstractmethod
    async def check(self, email: str, password: str) -> Verified | Rejected:
        """Check the credentials of a sign-in. An unknown user takes as long as a wrong password."""

    @abstractmethod
    async def check_again(self, user_id: UUID, password: str) -> str | None:
        """Check the password of a signed-in user. Returns the stored hash, or None if the password is wrong.

        The hash is empty if none is stored.
        """
