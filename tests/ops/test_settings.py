"""The page of the settings shows no secret."""

from typing import Any

from pydantic import SecretStr

from ops_app import FormBrowser, create_app
from restwell.ops._settings import REDACTED, read_settings
from restwell.settings import Section, Settings
from restwell.testing import running

SECRET = "s3cr3t-of-the-tests-" * 3


class Own(Section):
    api_key: str = ""
    webhook: SecretStr | None = None
    urls: tuple[str, ...] = ()
    many: tuple[SecretStr, ...] = ()
    label: str = "plain"


class OwnSettings(Settings):
    own: Own = Own()


def own_settings(**more: Any) -> OwnSettings:
    values: dict[str, Any] = {
        "jwt": {"secret": SECRET, "previous_secrets": f"{SECRET}1 {SECRET}2"},
        "redis": {"url": f"redis://user:{SECRET}@localhost/0"},
        "smtp": {"url": f"smtps://user:{SECRET}@mail.example:465"},
        "own": {"api_key": SECRET, "webhook": SECRET, "urls": (f"https://a:{SECRET}@b.example",), "many": (SECRET,)},
        **more,
    }
    return OwnSettings.model_validate(values)


def test_no_value_of_a_secret_is_read() -> None:
    """Breaks when only fields of SecretStr count: a tuple of them, a URL or a plain field would be shown."""
    found = {each.name: each for each in read_settings(own_settings())}
    assert not [each for each in found.values() if "s3cr3t" in each.value]
    for name in (
        "JWT_SECRET",
        "JWT_PREVIOUS_SECRETS",
        "REDIS_URL",
        "SMTP_URL",
        "OWN_API_KEY",
        "OWN_WEBHOOK",
        "OWN_MANY",
    ):
        assert (found[name].value, found[name].is_secret) == (REDACTED, True), name
    assert found["OWN_URLS"].value == "https://b.example"
    assert (found["OWN_LABEL"].value, found["OWN_LABEL"].is_set) == ("plain", False)
    assert found["MAIL_FROM"].value == "no-reply@localhost"
    assert found["RATE_LIMIT_READS"].value == "1200/60", "as it is written in the environment"
    assert (found["PORT"].section, found["PORT"].value) == ("server", "8000")
    assert {each.name for each in found.values()} == {"_".join(path).upper() for path in OwnSettings.paths()}


async def test_the_page_has_no_secret(settings: Settings) -> None:
    changed = settings.model_copy(update={"jwt": settings.jwt.model_copy(update={"secret": SecretStr(SECRET)})})
    async with running(create_app(changed)) as client:
        browser = FormBrowser(client)
        await browser.sign_in_with_form()
        page = await browser.open("/ops/settings")
    assert "<code>DATABASE_<wbr>URL</code>" in page
    assert "s3cr3t" not in page
    assert settings.database.url.get_secret_value() not in page
