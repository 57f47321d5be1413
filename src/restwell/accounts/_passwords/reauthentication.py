"""Password check of signed-in users, required before a change of credentials."""

from uuid import UUID

from restwell.accounts._passwords.check import PasswordCheck
from restwell.accounts._throttle.service import LoginThrottle, throttle_key
from restwell.auth import Actor
from restwell.errors import Forbidden


class WrongPassword(Forbidden):
    code = "wrong_password"
    message = "The current password is wrong. If the account has no password, reset it to set one."


class Reauthentication:
    def __init__(self, passwords: PasswordCheck, throttle: LoginThrottle) -> None:
        self._passwords = passwords
        self._throttle = throttle

    async def check(self, actor: Actor, password: str) -> str:
        """Verify the password and return its stored hash. Raises WrongPassword, TooManyAttempts, PasswordsBusy.

        Failures are throttled per session, so that a stolen session does not throttle the owner's other sessions.
        """
        key_hash = _throttle_key(actor.session_id)
        await self._throttle.check(key_hash)
        hashed = await self._passwords.check_again(actor.id, password)
        if hashed is None:
            await self._throttle.record_failure(key_hash, "password")
            raise WrongPassword
        return hashed


def _throttle_key(session_id: UUID) -> bytes:
    return throttle_key(f"session:{session_id}", "")
