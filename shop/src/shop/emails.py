"""The texts of emails about accounts, where they differ from those of the kit."""

from typing import ClassVar

from restwell.accounts import AccountEmails, EmailText

SIGNATURE = "The shop"


class ShopEmails(AccountEmails):
    signature: ClassVar[str] = SIGNATURE

    def welcome(self, code: str | None) -> EmailText:
        return super().welcome(code)._replace(subject="Welcome to the shop")
