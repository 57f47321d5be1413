"""The shop's settings: production requires an explicit payment gateway."""

import pytest

from restwell.errors import ConfigurationError
from shop.settings import ShopSettings

LIVE = {
    "APP_ENV": "production",
    "JWT_SECRET": "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt",
    "APP_URL": "https://shop.example",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "SMTP_URL": "smtps://u:p@h",
    "MAIL_FROM": "Shop <shop@shop.example>",
}


def test_production_refuses_the_default_fake_gateway() -> None:
    """Fails if the default is accepted: production would silently use the fake gateway."""
    with pytest.raises(ConfigurationError) as raised:
        ShopSettings.load(LIVE)
    (fault,) = raised.value.faults
    assert fault.startswith("PAYMENTS_URL: required in production; https://api-key@api.stripe.com, or fake:///")


def test_production_accepts_a_fake_gateway_that_is_set_explicitly() -> None:
    settings = ShopSettings.load({**LIVE, "PAYMENTS_URL": "fake:///var/p.db?delay_seconds=0.1"})
    assert settings.fallbacks() == {"payments": "a fake gateway in var/p.db; no real charges"}
    assert ShopSettings.load({**LIVE, "PAYMENTS_URL": "https://key@api.stripe.com"}).fallbacks() == {}
