"""Derived keys differ by purpose, and a development secret is created without a setting."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from restwell.auth._key_derivation import KeyDeriver, development_secret


def test_each_purpose_derives_a_different_key() -> None:
    keys = KeyDeriver("secret")
    assert keys.derive("a") == KeyDeriver("secret").derive("a")
    assert len({keys.derive("a"), keys.derive("b"), KeyDeriver("other").derive("a")}) == 3
    assert len(keys.derive("a")) == 32
    assert "secret" not in repr(keys)


def test_the_development_secret_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secret"
    with ThreadPoolExecutor(1) as pool:
        secrets = set(pool.map(lambda _: development_secret(path), range(5)))
    (secret,) = secrets
    assert len(secret) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]
