"""The application's own claims in the access tokens of users."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any
from uuid import UUID

from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import UserService
from restwell.database import Transaction

ClaimsFunction = Callable[[User], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


class UserClaims(ABC):
    """A service that adds claims to access tokens: ``Accounts(claims=LibraryClaims)``."""

    @abstractmethod
    async def read_claims(self, tx: Transaction, user: User) -> Mapping[str, Any]:
        """Return the claims of a user, in the transaction of a sign-in or a refresh. An error rolls it back.

        They are JSON without the names of registered claims, anyone with the token can read them, and the whole token
        has at most 2,048 characters.
        """


class FunctionClaims(UserClaims):
    def __init__(self, function: ClaimsFunction) -> None:
        self._function = function

    async def read_claims(self, _tx: Transaction, user: User) -> Mapping[str, Any]:
        claims = self._function(user)
        return await claims if isawaitable(claims) else claims


class OwnClaims:
    """What ``Accounts(claims=...)`` adds to access tokens. Without it there is no query."""

    def __init__(self, users: UserService, claims: Sequence[UserClaims]) -> None:
        self._users = users
        self._claims = claims

    async def read_in(self, tx: Transaction, user_id: UUID) -> Mapping[str, Any] | None:
        """Return the claims of an active user, in the caller's transaction."""
        for each in self._claims:
            user = await self._users.find_active(user_id, tx)
            return await each.read_claims(tx, user) if user is not None else None
        return None


def claims_service(claims: type[UserClaims] | ClaimsFunction | None) -> list[object]:
    """The service of the argument, if there is one. Raises TypeError."""
    if claims is None:
        return []
    if isinstance(claims, type):
        if not issubclass(claims, UserClaims):
            raise TypeError(f"Accounts: claims must be a subclass of UserClaims or a function, not {claims.__name__}")
        return [claims]
    if not callable(claims):
        raise TypeError(f"Accounts: claims must be a subclass of UserClaims or a function of a User, not {claims!r}")
    return [FunctionClaims(claims)]
