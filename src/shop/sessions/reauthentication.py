"""Who is signed in proves once more who they are, before they may change how one signs in."""

from uuid import UUID

from restwell.auth import Actor, Passwords
from restwell.database import Database
from restwell.errors import Forbidden
from shop.sessions import queries
from shop.sessions.login_throttle import LoginThrottle, throttle_key


class WrongPassword(Forbidden):
    code = "wrong_password"
    message = "The current password is wrong. An account that has none yet gets one by POST /v1/password-resets."


class Reauthentication:
    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self._passwords = passwords
        self._throttle = LoginThrottle(database)

    async def check(self, actor: Actor, password: str) -> str:
        """Returns the hash that the password matches. Raises WrongPassword, TooManyAttempts.

        Guesses are counted by session, so that a stolen one makes nobody else wait.
        """
        subject = _subject(actor.session_id)
        await self._throttle.check(subject)
        hashed = await self._database.primary.find(queries.password_of, id=actor.id)
        if not await self._passwords.verify(password, hashed) or hashed is None:
            await self._throttle.record_failure(subject)
            raise WrongPassword
        return hashed


def _subject(session_id: UUID) -> bytes:
    return throttle_key(f"session:{session_id}", "")
