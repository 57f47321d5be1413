"""What sign-in with a password asks for beside the password."""

from abc import ABC, abstractmethod
from uuid import UUID

from restwell.database import Transaction
from restwell.errors import Forbidden, Unauthorized


class MfaRequired(Unauthorized):
    code = "mfa_required"
    message = "MFA is required. Repeat the request with `code`: an authenticator code or a recovery code."


class InvalidMfaCode(Forbidden):
    code, message = "invalid_mfa_code", "The code is invalid or already used. Wait for the next one."


class SecondFactor(ABC):
    """A service that verifies the code of a sign-in."""

    @abstractmethod
    async def verify_in(self, tx: Transaction, user_id: UUID, code: str | None) -> None:
        """Verify and consume the code in the caller's transaction. Does nothing for users without this factor.

        Raises MfaRequired, InvalidMfaCode, TooManyAttempts.
        """

    @abstractmethod
    async def record_failure(self, user_id: UUID) -> None:
        """Count a failure, in a separate transaction: that of ``verify_in`` is rolled back."""
