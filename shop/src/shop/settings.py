"""The shop's settings: those of restwell, a default database file, the payment gateway and the catalogue."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from restwell.settings import LOOPBACK, DatabaseSettings, Section, Settings


def _payments_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if not re.fullmatch(
        r"fake:///[^?#]+(\?((delay_seconds|decline_rate|loss_rate)=[\d.]+&?)*)?", url
    ) and not re.fullmatch(
        rf"(https://[^/?#@\s:]+@[^/?#@\s]+|{LOOPBACK.replace('//', '//[^/?#@:]+@', 1)})/?(\?\S*)?", url
    ):
        message = (
            "must be https://api-key@api.stripe.com?payment_method=pm_... or"
            " fake:///var/payments.db?decline_rate=0.1&loss_rate=0.1&delay_seconds=0.05"
        )
        raise ValueError(message)
    return value


class PaymentsSettings(Section):
    url: Annotated[SecretStr, AfterValidator(_payments_url)] = Field(
        default=SecretStr("fake:///var/payments.db"), description="The payment gateway; fake: moves no money."
    )
    webhook_secret: SecretStr | None = Field(default=None, min_length=16, description="Secret of the gateway's events.")


def _catalogue_url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"grpcs?://[^/?#@\s:]+@[^/?#@\s]+:\d+", value.get_secret_value()):
        raise ValueError("must be grpc://api-key@host:port, or grpcs:// for TLS")
    return value


class CatalogueSettings(Section):
    url: Annotated[SecretStr, AfterValidator(_catalogue_url)] | None = Field(
        default=None, description="The service with the products and their stock, if it is another one."
    )


class ShopSettings(Settings):
    database: DatabaseSettings = DatabaseSettings(url=SecretStr("sqlite:///var/shop.db"))
    payments: PaymentsSettings = PaymentsSettings()
    catalogue: CatalogueSettings = CatalogueSettings()

    @classmethod
    def production_faults(cls, values: Mapping[str, str]) -> list[str]:
        faults = super().production_faults(values)
        if not values.get("PAYMENTS_URL"):
            faults.append(
                "PAYMENTS_URL: required in production; https://api-key@api.stripe.com,"
                " or fake:///var/payments.db for a fake gateway"
            )
        return faults

    def folders(self) -> dict[str, Path]:
        url = self.payments.url.get_secret_value()
        fake = {"PAYMENTS_URL": Path(urlsplit(url).path[1:]).parent} if url.startswith("fake:") else {}
        return super().folders() | fake

    def services(self) -> dict[str, str]:
        named = {"payments": urlsplit(self.payments.url.get_secret_value()).hostname or ""}
        if self.catalogue.url is not None:
            named["catalogue"] = self.catalogue.url.get_secret_value().rpartition("@")[2]
        return named | super().services()

    def fallbacks(self) -> dict[str, str]:
        url = self.payments.url.get_secret_value()
        fake = {"payments": f"a fake gateway in {urlsplit(url).path[1:]}; no real charges"}
        return super().fallbacks() | (fake if url.startswith("fake:") else {})
