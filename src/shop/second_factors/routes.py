"""HTTP of second factors."""

from restwell.auth import Actor
from restwell.auth.passwords import PasswordsBusy
from restwell.web import Controller, Inject, JSONBody, get, post, signed_in
from shop.second_factors.schemas import Begin, Begun, Confirm, RecoveryCodes, Remove, SecondFactor
from shop.second_factors.service import NoSecondFactor, SecondFactorActive, SecondFactorService
from shop.second_factors.verification import WrongCode
from shop.sessions.attempts import TooManyAttempts
from shop.sessions.reauthentication import WrongPassword


class SecondFactorController(Controller):
    path = "/users/me/second-factor"
    tags = ["Users"]
    guards = [signed_in]
    factors: SecondFactorService

    @get()
    async def read_second_factor(self, actor: Inject[Actor]) -> SecondFactor:
        """Read whether your account has a second factor."""
        return await self.factors.read(actor)

    @post(status_code=200, errors=[SecondFactorActive, WrongPassword, TooManyAttempts, PasswordsBusy])
    async def begin_second_factor(self, data: JSONBody[Begin], actor: Inject[Actor]) -> Begun:
        """Begin with a second factor.

        Show the `uri` as a QR code to an authenticator app, then confirm with a code of it.
        """
        return await self.factors.begin(actor, data.current_password)

    @post("/confirmation", status_code=200, errors=[NoSecondFactor, WrongCode])
    async def confirm_second_factor(self, data: JSONBody[Confirm], actor: Inject[Actor]) -> RecoveryCodes:
        """Confirm the second factor with a code of the app.

        Signing in needs a code from now on, and every other device is signed out. Keep the recovery codes.
        """
        return await self.factors.confirm(actor, data.code)

    @post(
        "/removal",
        query_budget={"attempts.of_subject": 2, "security_events.insert": 2},
        status_code=204,
        errors=[NoSecondFactor, WrongPassword, WrongCode, TooManyAttempts, PasswordsBusy],
    )
    async def remove_second_factor(self, data: JSONBody[Remove], actor: Inject[Actor]) -> None:
        """Remove the second factor.

        Needs the password and a code, as signing in does.
        """
        await self.factors.remove(actor, data.current_password, data.code)
