"""Settings: sources, validation with all errors together, and no secrets in messages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from restwell.errors import ConfigurationError
from restwell.settings import Settings

STRONG = "Wq3rT8-kZp0_bN5vXy7LmC2sHd9JfG4aQe6uRi1oPt"
LIVE = {
    "APP_ENV": "production",
    "JWT_SECRET": STRONG,
    "APP_URL": "https://shop.example",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "SMTP_URL": "smtps://u:p@h",
    "MAIL_FROM": "Shop <shop@shop.example>",
}


def faults(env: dict[str, str], **sources: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load(env, **sources)
    return raised.value.faults


def test_the_default_settings_need_no_server() -> None:
    settings = Settings.load({})
    assert settings.database.url.get_secret_value().startswith("sqlite:///")
    assert (settings.host, settings.port, settings.app.env) == ("127.0.0.1", 8000, "development")


def test_sections_and_plain_settings_are_read_by_name() -> None:
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


def test_missing_settings_files_are_no_error(tmp_path: Path) -> None:
    assert Settings.load({}, env_file=tmp_path / "none", secrets_dir=tmp_path / "none") == Settings.load({})


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (".env", "PORT=1\n# über\n".encode("latin-1"), "is not UTF-8 (byte 9); save it as UTF-8"),
        (".env", "PORT=1".encode("utf-16"), "is not UTF-8 (byte 0)"),
        (".env", None, "cannot be read: Is a directory"),
        ("secrets/jwt_secret", b"\xff\xfe", "is not UTF-8 (byte 0)"),
        ("secrets/JWT_SECRET", None, "cannot be read: Is a directory"),
    ],
)
def test_an_unreadable_settings_file_is_named_with_a_hint(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    """Breaks when the error is not translated: the start then prints a stack trace."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    (fault,) = faults({}, env_file=tmp_path / ".env", secrets_dir=tmp_path / "secrets")
    assert fault.startswith(f"{file}: {words}")


@pytest.mark.integration
def test_a_settings_file_without_read_permission_is_named(tmp_path: Path) -> None:
    """Breaks when PermissionError is not translated. Root can read everything, so the test uses another user."""
    (tmp_path / "JWT_SECRET").write_text(STRONG)
    (tmp_path / "JWT_SECRET").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom restwell.settings import Settings\n"
        "os.geteuid() or os.seteuid(65_534)\n"
        "try: Settings.load({}, secrets_dir=Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
    )
    for folder, words in (
        (tmp_path, f"{tmp_path}/JWT_SECRET: cannot be read: Permission denied"),
        (tmp_path / "closed", "closed: cannot be read: Permission denied; set SECRETS_DIR to another folder"),
    ):
        for parent in (tmp_path, *tmp_path.parents[:3]):
            parent.chmod(0o755)
        output = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
        assert words in output


def test_a_secrets_file_that_is_not_a_setting_is_not_read(tmp_path: Path) -> None:
    """Breaks when every file of the folder is read: a binary key store then causes a stack trace."""
    (tmp_path / "keystore.jks").write_bytes(b"\xfe\xed\xfe\xed")
    (tmp_path / "..data").mkdir()
    (tmp_path / "port").write_text("7")
    assert Settings.load({}, secrets_dir=tmp_path).port == 7


def test_a_byte_order_mark_is_not_part_of_a_name_or_value(tmp_path: Path) -> None:
    """Breaks when a file is read as plain UTF-8: some editors write a byte order mark."""
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=7")
    (tmp_path / "workers").write_bytes(b"\xef\xbb\xbf3")
    settings = Settings.load({}, env_file=tmp_path / ".env", secrets_dir=tmp_path)
    assert (settings.port, settings.workers) == (7, 3)


def test_all_invalid_settings_are_reported_together_without_their_values() -> None:
    env = {"PORT": "70000", "WORKERS": "many", "DATABASE_URL": "mysql://root:hunter2@h/d", "APP_ENV": "production"}
    found = faults(env)
    assert [fault.partition(":")[0] for fault in found] == [
        "PORT",
        "WORKERS",
        "DATABASE_URL",
        "APP_URL",
        "SMTP_URL",
        "JWT_SECRET",
    ]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:///", "sqlite://file.db", "http://x", "sqlite:///:memory:", "sqlite:///q.db?mode=ro"]
)
def test_an_unusable_database_url_is_refused(url: str) -> None:
    """Breaks when any text after the slashes is taken as a file name."""
    (fault,) = faults({"DATABASE_URL": url})
    assert re.match("DATABASE_URL: .*must ", fault)


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_REPLICA_URLS"])
def test_an_unknown_option_of_a_database_url_is_refused(name: str) -> None:
    """Breaks when options are checked only by the driver: its error is then a stack trace."""
    env = {"DATABASE_URL": "postgresql://u@h/d", name: "postgresql://u:hunter2@h/d?mode=fast"}
    (fault,) = faults(env)
    assert fault.startswith(f"{name}: ")
    assert "unknown option mode; supported are application_name, connect_timeout" in fault
    assert "hunter2" not in fault


@pytest.mark.parametrize("secret", ["", "short", "a" * 64, "abababababababababababababababababab"])
def test_production_refuses_a_missing_or_weak_secret(secret: str) -> None:
    """Breaks when only the length is checked."""
    (fault,) = faults({**LIVE, "JWT_SECRET": secret})
    assert fault.startswith("JWT_SECRET: ")
    assert "secrets.token_urlsafe" in fault


def test_production_starts_with_a_strong_secret() -> None:
    assert Settings.load(LIVE).in_production


@pytest.mark.parametrize("missing", [("APP_URL",), ("DATABASE_URL",), ("SMTP_URL",), ("MAIL_FROM",), tuple(LIVE)[1:]])
def test_production_refuses_a_default_that_replaces_a_service(missing: tuple[str, ...]) -> None:
    """Breaks when a default is accepted: production then writes mails to files and links to http://localhost."""
    remaining = {name: value for name, value in LIVE.items() if name not in missing}
    output = {fault.partition(":")[0]: fault for fault in faults(remaining)}
    assert output.keys() == set(missing) - ({"MAIL_FROM"} if len(missing) > 1 else set())
    assert all("required in production; " in fault for fault in output.values())


def test_production_accepts_a_replacement_of_a_service_that_is_set_explicitly() -> None:
    env = {**LIVE, "SMTP_URL": "folder:var/mail", "DATABASE_URL": "sqlite:////srv/app.db", "MAIL_FROM": ""}
    settings = Settings.load(env)
    assert settings.fallbacks() == {"mail": "files in var/mail, not sent"} == Settings.load({}).fallbacks()
    assert Settings.load(LIVE).fallbacks() == {}


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
def test_an_unusable_oauth_provider_is_refused(provider: str) -> None:
    (fault,) = faults({"OAUTH_PROVIDERS": f"github=https://id:secret@github.com, {provider}"})
    assert fault.startswith("OAUTH_PROVIDERS: value 2: must be name=https://")
    assert "hunter2" not in fault


def test_oauth_providers_and_the_public_url_are_read() -> None:
    one, two = "google=https://id:s%2Fcret@accounts.google.com", "okta=http://id:secret@localhost:9000/oauth2"
    settings = Settings.load({"OAUTH_PROVIDERS": f"{one} {two}", "PORT": "9000"})
    assert [provider.get_secret_value() for provider in settings.oauth.providers] == [one, two]
    assert settings.public_url == "http://localhost:9000"
    assert Settings.load({"APP_URL": "https://shop.example/"}).public_url == "https://shop.example"


@pytest.mark.parametrize("url", ["shop.example", "http://shop.example", "https://shop.example/api", "https://"])
def test_an_app_url_that_clients_cannot_trust_is_refused(url: str) -> None:
    (fault,) = faults({"APP_URL": url})
    assert fault.startswith("APP_URL: must be the public URL")


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://*.example", "null", "ftp://x"])
def test_a_cors_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    (fault,) = faults({"CORS_ORIGINS": f"https://app.example {origin}"})
    assert fault.startswith("CORS_ORIGINS: value 2: must be an origin")


def test_settings_show_no_secret_and_cannot_be_changed() -> None:
    settings = Settings.load({"JWT_SECRET": STRONG, "DATABASE_URL": "postgresql://u:hunter2@h/d"})
    assert STRONG not in repr(settings)
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1
