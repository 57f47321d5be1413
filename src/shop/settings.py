"""The shop's settings: those of the kit, with the shop's own database file."""

from pydantic import SecretStr

from restwell.settings import DatabaseSettings, Settings


class ShopSettings(Settings):
    database: DatabaseSettings = DatabaseSettings(url=SecretStr("sqlite:///var/shop.db"))
