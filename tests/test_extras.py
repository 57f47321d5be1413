"""A missing optional dependency is one line that names its extra. system/test_extras.py has the real environments."""

import builtins
from importlib.util import find_spec
from typing import Any

import pytest

from restwell import _extras as extras
from restwell.database import open_database
from restwell.errors import ConfigurationError
from restwell.settings import Settings


def test_an_import_of_a_missing_library_is_a_configuration_error_that_names_the_extra() -> None:
    with pytest.raises(ConfigurationError) as raised, extras.needs_extra("redis", "REDIS_URL"):
        import nothing_of_that_name  # type: ignore[import-not-found]  # noqa: F401, PLC0415  # it is missing
    assert raised.value.faults == [
        "REDIS_URL: nothing_of_that_name is not installed: pip install 'restwell[redis]'",
    ]


@pytest.mark.parametrize(
    ("setting", "value", "library", "extra"),
    [
        ("DATABASE_URL", "postgresql://user@host/name", "asyncpg", "postgresql"),
        ("REDIS_URL", "redis://host", "redis", "redis"),
        ("JOBS_URL", "redis://host", "redis", "redis"),
        ("JOBS_URL", "amqp://host", "aio_pika", "rabbitmq"),
        ("SMTP_URL", "smtps://host", "aiosmtplib", "mail"),
        ("MAIL_FROM", "a@b.example", "email_validator", "mail"),
        ("SECURITY_CONTACT", "mailto:a@b.example", "email_validator", "mail"),
        ("OAUTH_PROVIDERS", "google=https://id:secret@accounts.google.com", "joserfc", "auth"),
    ],
)
def test_a_setting_whose_extra_is_missing_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, library: str, extra: str
) -> None:
    """Breaks if the validator of the setting does not check it."""
    Settings.load({setting: value})
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == library else find_spec(name))
    with pytest.raises(ConfigurationError) as raised:
        Settings.load({setting: value})
    (fault,) = raised.value.faults
    assert fault.startswith(f"{setting.removesuffix('_PROVIDERS')}")
    assert fault.endswith(f"{library} is not installed: pip install 'restwell[{extra}]'")


def test_a_database_whose_driver_is_missing_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "restwell.database._postgres":
            raise ModuleNotFoundError(name="asyncpg")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: asyncpg is not installed: pip install 'restwell\[p"):
        open_database("postgresql://user@host/name")
