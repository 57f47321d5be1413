"""Rules of having a second factor."""

import time
from datetime import UTC, datetime
from typing import Final

from restwell.auth import Actor
from restwell.auth.encryption import SecretBox
from restwell.auth.totp import matching_timestep, new_secret, provisioning_uri
from restwell.database import Database
from restwell.errors import Conflict
from shop.audit.models import SecurityEvent
from shop.audit.service import AuditLog
from shop.codes import hash_of, new_code
from shop.second_factors import queries
from shop.second_factors.schemas import Begun, RecoveryCodes, SecondFactor
from shop.second_factors.verification import SecondFactorVerification, WrongCode
from shop.sessions.reauthentication import Reauthentication
from shop.sessions.service import SessionService
from shop.users.service import UserService

CODES: Final = 10


class SecondFactorActive(Conflict):
    code, message = "second_factor_active", "The account has a second factor. Remove it before you begin with another."


class NoSecondFactor(Conflict):
    code, message = "no_second_factor", "There is no second factor to confirm or remove. Begin with one first."


class SecondFactorService:
    def __init__(
        self,
        database: Database,
        secret_box: SecretBox,
        reauthentication: Reauthentication,
        verification: SecondFactorVerification,
        sessions: SessionService,
        users: UserService,
        audit: AuditLog,
        *,
        issuer: str,
    ) -> None:
        self._database = database
        self._secret_box = secret_box
        self._reauthentication = reauthentication
        self._verification = verification
        self._sessions = sessions
        self._users = users
        self._audit = audit
        self._issuer = issuer

    async def read(self, actor: Actor) -> SecondFactor:
        factor = await self._database.primary.find(queries.of_user, id=actor.id)
        active = factor is not None and factor.confirmed_at is not None
        return SecondFactor(active, await self._database.primary.one(queries.count_codes, id=actor.id))

    async def begin(self, actor: Actor, password: str) -> Begun:
        """A new secret, which counts once it is confirmed. Raises WrongPassword, TooManyAttempts, SecondFactorActive."""
        await self._reauthentication.check(actor, password)
        user = await self._users.get_user(actor.id)
        secret = new_secret()
        sealed = self._secret_box.encrypt(secret)
        if not await self._database.run(queries.begin, user_id=actor.id, sealed_secret=sealed):
            raise SecondFactorActive
        return Begun(secret, provisioning_uri(secret, account=user.email, issuer=self._issuer))

    async def confirm(self, actor: Actor, code: str) -> RecoveryCodes:
        """From now on it is asked for; every other device is signed out. Raises NoSecondFactor, WrongCode."""
        factor = await self._database.primary.find(queries.of_user, id=actor.id)
        if factor is None or factor.confirmed_at is not None:
            raise NoSecondFactor
        step = matching_timestep(self._secret_box.decrypt(factor.sealed_secret), code.replace(" ", ""), time.time())
        if step is None:
            raise WrongCode
        codes = [new_code() for _ in range(CODES)]
        async with self._database.transaction() as tx:
            if not await tx.run(queries.confirm, owner_id=actor.id, now=datetime.now(UTC), step=step):
                raise NoSecondFactor
            await tx.run_many(queries.insert_code, [{"code_hash": hash_of(one), "user_id": actor.id} for one in codes])
            await self._sessions.end_others_in(tx, actor)
            await self._audit.record(tx, SecurityEvent.SECOND_FACTOR_ADDED, actor.id)
            await self._users.tell_of_second_factor_in(tx, actor.id, active=True)
        return RecoveryCodes(codes)

    async def remove(self, actor: Actor, password: str, code: str) -> None:
        """It is asked for no more. Raises NoSecondFactor, WrongPassword, WrongCode, TooManyAttempts."""
        await self._reauthentication.check(actor, password)
        try:
            async with self._database.transaction() as tx:
                await self._verification.verify_in(tx, actor.id, code)
                await tx.run(queries.remove_codes, owner_id=actor.id)
                if not await tx.run(queries.remove, owner_id=actor.id):
                    raise NoSecondFactor
                await self._audit.record(tx, SecurityEvent.SECOND_FACTOR_REMOVED, actor.id)
                await self._users.tell_of_second_factor_in(tx, actor.id, active=False)
        except WrongCode:
            await self._verification.failed(actor.id)
            raise
