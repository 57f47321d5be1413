from abc import ABC, abstractmethod
from uuid import UUID


class RefreshCheck(ABC):
    """A service that is asked before each refresh of a session, outside of its transaction.

    For a user with an API key, which has no refresh, it is asked as often as an access token would expire.
    """

    @abstractmethod
    async def check_user(self, user_id: UUID) -> None:
        """May revoke the session, or deactivate the account. An error leaves the refresh token and the key valid."""
