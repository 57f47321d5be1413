from restwell.accounts._mfa.schemas import (
    MfaConfirmationRequest,
    MfaEnrolment,
    MfaEnrolmentRequest,
    MfaRemovalRequest,
    MfaStatus,
    NewRecoveryCodes,
)
from restwell.accounts._mfa.service import MfaAlreadyEnabled, MfaNotEnrolled, MfaService
from restwell.accounts._passwords.reauthentication import WrongPassword
from restwell.accounts._passwords.second_factor import InvalidMfaCode
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.accounts._user_directory import DirectoryUnavailable
from restwell.auth import Actor, PasswordsBusy
from restwell.web import Controller, get, post, signed_in


class MfaController(Controller):
    path = "/users/me/mfa"
    tags = ["Users"]
    guards = [signed_in]

    @get()
    async def get_mfa_status(self, actor: Actor, mfa: MfaService) -> MfaStatus:
        """Retrieve your MFA status.

        Whether sign-in needs a second factor, and how many recovery codes are left.
        """
        return await mfa.get_status(actor)

    @post(
        status_code=200, raises=[MfaAlreadyEnabled, WrongPassword, TooManyAttempts, PasswordsBusy, DirectoryUnavailable]
    )
    async def start_mfa_enrolment(self, data: MfaEnrolmentRequest, actor: Actor, mfa: MfaService) -> MfaEnrolment:
        """Start MFA enrolment.

        Show the `uri` as a QR code to an authenticator app, then confirm the enrolment with a code from the app.
        """
        return await mfa.start_enrolment(actor, data.current_password)

    @post("/confirmation", status_code=200, raises=[MfaNotEnrolled, InvalidMfaCode])
    async def confirm_mfa_enrolment(
        self, data: MfaConfirmationRequest, actor: Actor, mfa: MfaService
    ) -> NewRecoveryCodes:
        """Confirm MFA enrolment.

        Enables MFA: each sign-in requires a code. All other sessions are revoked. Store the recovery codes in a safe
        place.
        """
        return await mfa.confirm_enrolment(actor, data.code)

    @post(
        "/removal",
        query_budget={"login_throttle.by_key": 2, "security_events.insert": 2},
        status_code=204,
        raises=[MfaNotEnrolled, WrongPassword, InvalidMfaCode, TooManyAttempts, PasswordsBusy, DirectoryUnavailable],
    )
    async def disable_mfa(self, data: MfaRemovalRequest, actor: Actor, mfa: MfaService) -> None:
        """Disable MFA.

        Requires the current password and an authenticator or recovery code.
        """
        await mfa.disable(actor, data.current_password, data.code)
