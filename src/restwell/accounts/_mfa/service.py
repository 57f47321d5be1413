import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from restwell._app import Restwell
from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._codes import generate_token, hash_token
from restwell.accounts._hooks import AccountHooks
from restwell.accounts._mfa import queries
from restwell.accounts._mfa.jobs import send_mfa_disabled, send_mfa_enabled
from restwell.accounts._mfa.schemas import MfaEnrolment, MfaStatus, NewRecoveryCodes
from restwell.accounts._mfa.verification import MfaVerification
from restwell.accounts._passwords.reauthentication import Reauthentication
from restwell.accounts._passwords.second_factor import InvalidMfaCode
from restwell.accounts._users.service import UserService
from restwell.auth import Actor, SecretBox, matching_totp_step, new_totp_secret, totp_uri
from restwell.database import Database, Transaction
from restwell.errors import Conflict
from restwell.jobs import Jobs

RECOVERY_CODE_COUNT: Final = 10


class MfaAlreadyEnabled(Conflict):
    code, message = "mfa_already_enabled", "MFA is already enabled. Disable it before you enrol again."


class MfaNotEnrolled(Conflict):
    code, message = (
        "mfa_not_enrolled",
        "There is no enrolment to confirm or disable. Start an enrolment first.",
    )


class MfaService:
    def __init__(
        self,
        database: Database,
        jobs: Jobs,
        secret_box: SecretBox,
        reauthentication: Reauthentication,
        verification: MfaVerification,
        users: UserService,
        hooks: AccountHooks,
        audit: AuditLog,
        kit: Restwell,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._secret_box = secret_box
        self._reauthentication = reauthentication
        self._verification = verification
        self._users = users
        self._audit = audit
        self._issuer = kit.name
        hooks.on_credentials_reset.append(self.delete_in)
        hooks.on_deleted.append(self.delete_in)

    async def get_status(self, actor: Actor) -> MfaStatus:
        enrolment = await self._database.primary.find(queries.of_user, id=actor.id)
        active = enrolment is not None and enrolment.confirmed_at is not None
        return MfaStatus(active, await self._database.primary.one(queries.count_codes, id=actor.id))

    async def start_enrolment(self, actor: Actor, password: str) -> MfaEnrolment:
        """Create a secret, which takes effect on confirmation.

        Raises WrongPassword, TooManyAttempts, MfaAlreadyEnabled.
        """
        await self._reauthentication.check(actor, password)
        user = await self._users.get_user(actor.id)
        secret = new_totp_secret()
        encrypted_secret = self._secret_box.encrypt(secret)
        if not await self._database.run(queries.start, user_id=actor.id, encrypted_secret=encrypted_secret):
            raise MfaAlreadyEnabled
        return MfaEnrolment(secret, totp_uri(secret, account=user.email, issuer=self._issuer))

    async def confirm_enrolment(self, actor: Actor, code: str) -> NewRecoveryCodes:
        """Enable MFA and revoke the user's other sessions. Raises MfaNotEnrolled, InvalidMfaCode."""
        enrolment = await self._database.primary.find(queries.of_user, id=actor.id)
        if enrolment is None or enrolment.confirmed_at is not None:
            raise MfaNotEnrolled
        timestep = matching_totp_step(
            self._secret_box.decrypt(enrolment.encrypted_secret), code.replace(" ", ""), time.time()
        )
        if timestep is None:
            raise InvalidMfaCode
        codes = [generate_token() for _ in range(RECOVERY_CODE_COUNT)]
        async with self._database.transaction() as tx:
            if not await tx.run(queries.confirm, match_user_id=actor.id, now=datetime.now(UTC), timestep=timestep):
                raise MfaNotEnrolled
            await tx.run_many(
                queries.insert_code, [{"code_hash": hash_token(one), "user_id": actor.id} for one in codes]
            )
            await self._users.revoke_sessions_in(tx, actor.id, keep=actor.session_id)
            await self._audit.record(tx, SecurityEventType.MFA_ENABLED, actor.id)
            await self._jobs.enqueue(tx, send_mfa_enabled, user_id=actor.id)
        return NewRecoveryCodes(codes)

    async def disable(self, actor: Actor, password: str, code: str) -> None:
        """Disable MFA. Raises MfaNotEnrolled, WrongPassword, InvalidMfaCode, TooManyAttempts."""
        await self._reauthentication.check(actor, password)
        try:
            async with self._database.transaction() as tx:
                await self._verification.verify_in(tx, actor.id, code)
                if not await self.delete_in(tx, actor.id):
                    raise MfaNotEnrolled
                await self._audit.record(tx, SecurityEventType.MFA_DISABLED, actor.id)
                await self._jobs.enqueue(tx, send_mfa_disabled, user_id=actor.id)
        except InvalidMfaCode:
            await self._verification.record_failure(actor.id)
            raise

    async def delete_in(self, tx: Transaction, user_id: UUID) -> bool:
        """Delete the user's enrolment and recovery codes, in the caller's transaction.

        Returns whether there was an enrolment.
        """
        await tx.run(queries.delete_codes, match_user_id=user_id)
        return bool(await tx.run(queries.delete_enrolment, match_user_id=user_id))
