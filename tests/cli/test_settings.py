"""``restwell settings``: every setting with its value, its source and its meaning, and no secret."""

import json
import re
from pathlib import Path

import pytest

from restwell._cli.setting_meanings import MEANINGS
from restwell._cli.settings import REDACTED, redacted
from restwell.settings import Settings
from servers import ROOT, restwell
from tiny.environment import tiny_environment


def test_every_setting_of_the_kit_has_a_meaning_and_no_other_has() -> None:
    """Fails if a setting is added without a meaning."""
    assert {"_".join(path).upper() for path in Settings.paths()} == MEANINGS.keys()
    assert [text for text in MEANINGS.values() if not text.endswith(".") or len(text) > 110] == []


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("JWT_SECRET", "https://looks-like-a-url", REDACTED),
        ("DATABASE_URL", "postgresql://user:pass@db:5432/shop?password=x", f"postgresql://{REDACTED}@db:5432"),
        ("DATABASE_URL", "sqlite:///var/shop.db", "sqlite:///var/shop.db"),
        ("REDIS_URL", "redis://host/0?password=x@y", REDACTED),
        ("REDIS_URL", "redis://:p@ss@host/0", REDACTED),
        ("HOOK_URL", "https://hooks.example/T0/secret", "https://hooks.example"),
        ("SMTP_URL", "folder:var/mail", REDACTED),
        (
            "OAUTH_PROVIDERS",
            "a=https://i:s@a.example,b=https://i:s@b.example",
            "a=https://***@a.example,b=https://***@b.example",
        ),
        (
            "DATABASE_REPLICA_URLS",
            "postgresql://u:p@a,b/x, postgresql://u:p@c/x",
            "postgresql://***@a,b,postgresql://***@c",
        ),
    ],
)
def test_a_secret_shows_at_most_its_scheme_and_host(name: str, text: str, shown: str) -> None:
    """Fails if a query, a path or an unusual password is printed."""
    assert redacted(name, text) == shown


@pytest.mark.integration
def test_each_setting_is_listed_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/jwt_secret").write_text("a secret for tests, which is long enough to be one")
    (tmp_path / ".env").write_text("RATE_LIMIT_READS=7/60\nPORT=1\n")
    environment = {**tiny_environment("postgresql://user:hidden@db/shop"), "PORT": "2"}
    environment |= {"SECRETS_DIR": str(tmp_path / "secrets")}
    done = restwell("settings", "--json", cwd=tmp_path, **environment)
    assert done.returncode == 0
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert found.keys() == MEANINGS.keys()
    assert found["PORT"] == {
        "name": "PORT",
        "value": "2",
        "source": "environment",
        "meaning": "The port to listen on.",
    }
    shown = {name: (found[name]["value"], found[name]["source"]) for name in found}
    assert shown["RATE_LIMIT_READS"] == ("7/60", ".env file")
    assert shown["RATE_LIMIT_WRITES"] == ("300/60", "default")
    assert shown["JWT_SECRET"] == (REDACTED, "secret file")
    assert shown["DATABASE_URL"] == (f"postgresql://{REDACTED}@db", "environment")
    assert shown["REDIS_URL"] == (None, "default")
    text = restwell("settings", cwd=tmp_path, **environment).stdout
    assert re.search(r"PORT +2 +environment +The port to listen on\.", text)
    for secret in ("hidden", "long enough"):
        assert secret not in done.stdout + text


@pytest.mark.integration
def test_the_example_of_the_page_has_its_meaning(tmp_path: Path) -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    project = 'project = Project(name="bookshop", settings=BookshopSettings, create_app=create_app)\n'
    (tmp_path / "bookshop_settings.py").write_text(
        f"from restwell import Project\nfrom tiny.app import create_app\n{code}\n\n{project}"
    )
    environment = {**tiny_environment("sqlite:///a.db"), "RESTWELL_APP": "bookshop_settings:project"}
    done = restwell("settings", cwd=tmp_path, **environment)
    assert re.search(r"PRINTING_COPIES +1 +default +Copies of each label\.", done.stdout), done
