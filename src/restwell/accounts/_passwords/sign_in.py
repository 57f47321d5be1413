from collections.abc import Sequence
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._passwords.check import PasswordCheck, Rejected
from restwell.accounts._passwords.schemas import SignInRequest
from restwell.accounts._passwords.second_factor import InvalidMfaCode, SecondFactor
from restwell.accounts._sessions.schemas import BearerTokens
from restwell.accounts._sessions.service import SessionService
from restwell.accounts._throttle.service import LoginThrottle, Reason, throttle_key
from restwell.auth import ClientInfo
from restwell.database import Database
from restwell.errors import Unauthorized


class InvalidCredentials(Unauthorized):
    code, message = "invalid_credentials", "The email or the password is wrong."


class PasswordSignIn:
    def __init__(
        self,
        database: Database,
        passwords: PasswordCheck,
        sessions: SessionService,
        second_factors: Sequence[SecondFactor],
        throttle: LoginThrottle,
        audit: AuditLog,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._sessions = sessions
        self._second_factors = second_factors
        self._throttle = throttle
        self._audit = audit

    async def sign_in(self, credentials: SignInRequest, client_info: ClientInfo) -> tuple[UUID, BearerTokens]:
        """Create a session. Raises InvalidCredentials, TooManyAttempts, MfaRequired, InvalidMfaCode, PasswordsBusy.

        An unknown user and a wrong password are indistinguishable by response and time.
        """
        key_hash = throttle_key(credentials.email, client_info.ip_address)
        await self._throttle.check(key_hash)
        checked = await self._passwords.check(credentials.email, credentials.password)
        if isinstance(checked, Rejected):
            await self._record_failure(key_hash, checked.user_id, client_info, "password")
            raise InvalidCredentials
        user_id = checked.user_id
        try:
            async with self._database.transaction() as tx:
                if not await checked.confirm_in(tx):
                    raise InvalidCredentials  # the account changed while the password was verified
                for factor in self._second_factors:
                    await factor.verify_in(tx, user_id, credentials.code)
                await self._throttle.reset_in(tx, key_hash)
                return await self._sessions.open_in(tx, user_id, client_info)
        except InvalidMfaCode:
            for factor in self._second_factors:
                await factor.record_failure(user_id)
            await self._record_failure(key_hash, user_id, client_info)
            raise

    async def _record_failure(
        self, key_hash: bytes, user_id: UUID | None, client_info: ClientInfo, reason: Reason | None = None
    ) -> None:
        async with self._database.transaction() as tx:
            await self._throttle.record_failure_in(tx, key_hash, reason)
            if user_id is not None:  # unknown accounts are not logged: an attacker could fill the append-only table
                await self._audit.record(
                    tx, SecurityEventType.SIGN_IN_FAILED, user_id, ip_address=client_info.ip_address
                )
