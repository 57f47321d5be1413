from abc import ABC, abstractmethod
from uuid import UUID


class RefreshCheck(ABC):
    """A service that is asked before each refresh of a session, outside of its transaction."""

    @abstractmethod
    async def check_user(self, user_id: UUID) -> None:
        """May revoke the session, which then is not refreshed. An error leaves the refresh token valid."""
