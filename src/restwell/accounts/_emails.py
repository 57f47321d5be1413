"""The texts of the emails about accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple


class EmailText(NamedTuple):
    subject: str
    paragraphs: Sequence[str]


class AccountEmails:
    """The texts in English. Subclass it to change some of them: ``Accounts(emails=ShopEmails())``.

    A text must not contain the name of the recipient: anyone can register the address of a third party with a name that
    contains a message.
    """

    greeting: ClassVar[str] = "Hello,"
    signature: ClassVar[str] = ""

    def welcome(self, code: str | None) -> EmailText:
        """After registration. ``code`` verifies the address; None if an invitation or a provider has verified it."""
        if code is None:
            return EmailText("Welcome", ["Your account is ready. You can sign in now."])
        return EmailText(
            "Welcome",
            [
                "Your account is ready. This is the code to verify your email address:",
                code,
                "If you did not register, ignore this email and do not use the code.",
            ],
        )

    def invitation(self, code: str | None, expires_at: datetime) -> EmailText:
        """``code`` creates the account; None if users sign in with identity providers only."""
        until = f"The invitation can be used once, until {expires_at:%d %B %Y, %H:%M} UTC."
        if code is None:
            sign_in = "You are invited to create an account. Sign in with a provider that has verified this address."
            return EmailText("Invitation", [sign_in, until])
        return EmailText("Invitation", ["You are invited to create an account. This is the code:", code, until])

    def email_verification(self, code: str) -> EmailText:
        return EmailText(
            "Verify your email address",
            [
                "This is the code to verify your email address:",
                code,
                "It can be used once, within 24 hours. If you did not request it, ignore this email.",
            ],
        )

    def email_changed(self) -> EmailText:
        """To the previous address, whose owner may not have made the change."""
        return EmailText(
            "Your email address was changed",
            [
                "The email address of your account was changed. Emails are now sent to the new address.",
                "If you did not make this change, your password is compromised: reply to this email immediately.",
            ],
        )

    def password_reset(self, code: str, expires_at: datetime) -> EmailText:
        return EmailText(
            "Reset your password",
            [
                "A password reset was requested for your account. This is the code to set a new password:",
                code,
                f"It can be used once, until {expires_at:%H:%M} UTC. If you did not request it, ignore this email.",
            ],
        )

    def password_changed(self) -> EmailText:
        return EmailText(
            "Your password was changed",
            [
                "The password of your account was changed, and all other devices were signed out.",
                "If you did not make this change, reset your password immediately.",
            ],
        )

    def mfa_enabled(self) -> EmailText:
        return EmailText(
            "Multi-factor authentication was enabled",
            [
                "Signing in to your account now requires a code from your authenticator app.",
                "If you did not make this change, change your password immediately.",
            ],
        )

    def mfa_disabled(self) -> EmailText:
        return EmailText(
            "Multi-factor authentication was disabled",
            [
                "Signing in to your account no longer requires a code.",
                "If you did not make this change, change your password immediately.",
            ],
        )

    def api_key_created(self, start: str) -> EmailText:
        """``start``: the first characters of the key. Its name is a text of its user."""
        return EmailText(
            "An API key was created",
            [
                f"An API key was created that can act for you. It begins with {start}",
                "If you did not create it, revoke it, change your password and sign out on all devices.",
            ],
        )

    def identity_linked(self, provider: str) -> EmailText:
        return EmailText(
            "A sign-in method was added",
            [
                f"You can now sign in to your account with {provider}.",
                "If you did not make this change, remove it, change your password and sign out on all devices.",
            ],
        )
