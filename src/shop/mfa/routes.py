"""HTTP of second factors."""

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import Controller, Inject, JSONBody, get, post, signed_in
from shop.mfa.schemas import (
    MfaConfirmationRequest,
    MfaEnrolment,
    MfaEnrolmentRequest,
    MfaRemovalRequest,
    MfaStatus,
    RecoveryCodes,
)
from shop.mfa.service import MfaAlreadyEnabled, MfaNotEnrolled, MfaService
from shop.mfa.verification import InvalidMfaCode
from shop.sessions.login_throttle import TooManyAttempts
from shop.sessions.reauthentication import WrongPassword


class MfaController(Controller):
    path = "/users/me/mfa"
    tags = ["Users"]
    guards = [signed_in]
    factors: MfaService

    @get()
    async def get_mfa_status(self, actor: Inject[Actor]) -> MfaStatus:
        """Read whether your account has a second factor."""
        return await self.factors.read(actor)

    @post(status_code=200, errors=[MfaAlreadyEnabled, WrongPassword, TooManyAttempts, PasswordsBusy])
    async def start_mfa_enrolment(self, data: JSONBody[MfaEnrolmentRequest], actor: Inject[Actor]) -> MfaEnrolment:
        """MfaEnrolmentRequest with a second factor.

        Show the `uri` as a QR code to an authenticator app, then confirm with a code of it.
        """
        return await self.factors.begin(actor, data.current_password)

    @post("/confirmation", status_code=200, errors=[MfaNotEnrolled, InvalidMfaCode])
    async def confirm_mfa_enrolment(
        self, data: JSONBody[MfaConfirmationRequest], actor: Inject[Actor]
    ) -> RecoveryCodes:
        """Confirm the second factor with a code of the app.

        Signing in needs a code from now on, and every other device is signed out. Keep the recovery codes.
        """
        return await self.factors.confirm(actor, data.code)

    @post(
        "/removal",
        query_budget={"login_throttle.by_key": 2, "security_events.insert": 2},
        status_code=204,
        errors=[MfaNotEnrolled, WrongPassword, InvalidMfaCode, TooManyAttempts, PasswordsBusy],
    )
    async def disable_mfa(self, data: JSONBody[MfaRemovalRequest], actor: Inject[Actor]) -> None:
        """Remove the second factor.

        Needs the password and a code, as signing in does.
        """
        await self.factors.remove(actor, data.current_password, data.code)
