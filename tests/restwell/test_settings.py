"""Settings: read from a mapping, frozen, every fault at once, and secrets never shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from restwell.errors import ConfigurationError
from restwell.settings import Settings

STRONG = "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt"


def faults(env: dict[str, str], **sources: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load(env, **sources)
    return raised.value.faults


def test_has_defaults_that_need_no_server() -> None:
    settings = Settings.load({})
    assert settings.database.url.get_secret_value().startswith("sqlite:///")
    assert (settings.host, settings.port, settings.app.env) == ("127.0.0.1", 8000, "development")


def test_reads_sections_and_plain_settings_by_name() -> None:
    env = {
        "PORT": "9001",
        "DATABASE_URL": "postgresql://u:p@h/d",
        "JWT_ACCESS_TTL_SECONDS": "60",
        "HOST": "",
        "PATH": "/bin",
    }
    settings = Settings.load(env)
    assert (settings.port, settings.host, settings.jwt.access_ttl_seconds) == (9001, "127.0.0.1", 60)
    assert settings.database.url.get_secret_value() == "postgresql://u:p@h/d"


def test_the_environment_wins_over_the_file_which_wins_over_secret_files(tmp_path: Path) -> None:
    env_file, secrets = tmp_path / ".env", tmp_path / "secrets"
    env_file.write_text("PORT=2\nWORKERS=2\n# a comment\nLOG_LEVEL=\n")
    secrets.mkdir()
    (secrets / "port").write_text("3\n")
    (secrets / "WORKERS").write_text("3")
    (secrets / "jwt_secret").write_text(f"{STRONG}\n")
    settings = Settings.load({"PORT": "1"}, env_file=env_file, secrets_dir=secrets)
    assert (settings.port, settings.workers, settings.log.level) == (1, 2, "info")
    assert settings.jwt.secret is not None
    assert settings.jwt.secret.get_secret_value() == STRONG


def test_missing_files_are_no_fault(tmp_path: Path) -> None:
    assert Settings.load({}, env_file=tmp_path / "none", secrets_dir=tmp_path / "none") == Settings.load({})


def test_reports_every_fault_at_once_without_a_value() -> None:
    env = {"PORT": "70000", "WORKERS": "many", "DATABASE_URL": "mysql://root:hunter2@h/d", "APP_ENV": "production"}
    found = faults(env)
    assert [fault.partition(":")[0] for fault in found] == ["PORT", "WORKERS", "DATABASE_URL", "JWT_SECRET"]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:///", "sqlite://file.db", "http://x"])
def test_refuses_a_database_url_it_cannot_use(url: str) -> None:
    (fault,) = faults({"DATABASE_URL": url})
    assert fault.startswith("DATABASE_URL: must ")


@pytest.mark.parametrize("secret", ["", "short", "a" * 64, "abababababababababababababababababab"])
def test_production_refuses_a_missing_or_weak_secret(secret: str) -> None:
    (fault,) = faults({"APP_ENV": "production", "JWT_SECRET": secret})
    assert fault.startswith("JWT_SECRET: ")
    assert "secrets.token_urlsafe" in fault


def test_production_starts_with_a_strong_secret() -> None:
    assert Settings.load({"APP_ENV": "production", "JWT_SECRET": STRONG}).in_production


@pytest.mark.parametrize(
    "provider",
    [
        "nonsense",
        "google=",
        "google=https://accounts.google.com",
        "google=https://id@accounts.google.com",
        "google=https://id:secret@",
        "google=http://id:hunter2@accounts.google.com",
        "google=http://id:hunter2@localhost.evil.example",
        "Google=https://id:hunter2@accounts.google.com",
        "a/b=https://id:hunter2@accounts.google.com",
        "google=https://id:hun/ter2@accounts.google.com",
    ],
)
def test_refuses_a_provider_it_cannot_use(provider: str) -> None:
    (fault,) = faults({"OAUTH_PROVIDERS": f"github=https://id:secret@github.com, {provider}"})
    assert fault.startswith("OAUTH_PROVIDERS_1: must be name=https://")
    assert "hunter2" not in fault


def test_reads_providers_and_knows_where_it_is_itself() -> None:
    one, two = "google=https://id:s%2Fcret@accounts.google.com", "okta=http://id:secret@localhost:9000/oauth2"
    settings = Settings.load({"OAUTH_PROVIDERS": f"{one} {two}", "PORT": "9000"})
    assert [provider.get_secret_value() for provider in settings.oauth.providers] == [one, two]
    assert settings.own_url == "http://localhost:9000"
    assert Settings.load({"APP_URL": "https://shop.example/"}).own_url == "https://shop.example"


def test_production_needs_its_address_where_providers_send_browsers_back() -> None:
    live = {"APP_ENV": "production", "JWT_SECRET": STRONG, "OAUTH_PROVIDERS": "github=https://id:secret@github.com"}
    (fault,) = faults(live)
    assert fault.startswith("APP_URL: required")
    assert Settings.load({**live, "APP_URL": "https://shop.example"}).in_production


@pytest.mark.parametrize("url", ["shop.example", "http://shop.example", "https://shop.example/api", "https://"])
def test_refuses_an_address_of_its_own_that_clients_cannot_trust(url: str) -> None:
    (fault,) = faults({"APP_URL": url})
    assert fault.startswith("APP_URL: must be what clients see")


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://*.example", "null", "ftp://x"])
def test_refuses_an_origin_that_no_browser_sends(origin: str) -> None:
    (fault,) = faults({"CORS_ORIGINS": f"https://app.example {origin}"})
    assert fault.startswith("CORS_ORIGINS_1: must be what a browser sends")


def test_shows_no_secret_and_cannot_be_changed() -> None:
    settings = Settings.load({"JWT_SECRET": STRONG, "DATABASE_URL": "postgresql://u:hunter2@h/d"})
    assert STRONG not in repr(settings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1
