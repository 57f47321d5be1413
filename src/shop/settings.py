"""The shop's settings: those of the kit, with the shop's own database file, and who moves its money."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from restwell.settings import LOOPBACK, DatabaseSettings, Section, Settings


def _payments_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not re.fullmatch(r"ledger:///[^?#]+(\?((delay|declines|losses)=[\d.]+&?)*)?", url) and not re.fullmatch(
        rf"(https://[^/?#@\s:]+@[^/?#@\s]+|{LOOPBACK.replace('//', '//[^/?#@:]+@', 1)})/?(\?\S*)?", url
    ):
        message = "must be https://api-key@api.stripe.com?payment_method=pm_... or ledger:///var/payments.db?declines=0.1&losses=0.1&delay=0.05"
        raise ValueError(message)
    return value


class PaymentsSettings(Section):
    url: Annotated[SecretStr, AfterValidator(_payments_url)] = SecretStr("ledger:///var/payments.db")
    webhook_secret: SecretStr | None = Field(default=None, min_length=16)


class ShopSettings(Settings):
    database: DatabaseSettings = DatabaseSettings(url=SecretStr("sqlite:///var/shop.db"))
    payments: PaymentsSettings = PaymentsSettings()
