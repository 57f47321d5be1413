"""What sign-in with an identity provider needs to know of invitations."""

from abc import ABC, abstractmethod

from restwell.accounts._users.schemas import User
from restwell.database import Transaction


class InvitedAccounts(ABC):
    """A service that knows who is invited."""

    @abstractmethod
    async def register_invited_in(self, tx: Transaction, email: str, name: str, accept_language: str) -> User | None:
        """Consume the invitation of a verified address and create the account, in the caller's transaction.

        Returns None if the address is not invited. Raises UniqueViolation if an account with it exists.
        """
