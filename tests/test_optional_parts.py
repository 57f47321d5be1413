"""The parts of the kit that need an extra are built on first use, and closed with the kit."""

import asyncio
import threading
from pathlib import Path

from pydantic import SecretStr

from restwell import Restwell
from restwell.mail import FolderMailer, SmtpMailer
from restwell.settings import DatabaseSettings, JwtSettings, OauthSettings, Settings, SmtpSettings

PARTS = ("mailer", "passwords", "access_tokens", "secret_box", "oauth_providers", "oauth_flows")


def kit_with(folder: Path, **sections: object) -> Restwell:
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{folder}/tiny.db")),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        **sections,  # type: ignore[arg-type]  # settings sections
    )
    return Restwell(settings, name="tiny")


async def test_a_part_is_built_once_and_on_first_use(tmp_path: Path) -> None:
    """Breaks if the constructor builds it: an application without the extra then does not start."""
    kit = kit_with(tmp_path)
    assert not set(PARTS) & set(vars(kit))
    for name in PARTS:
        assert getattr(kit, name) is getattr(kit, name)
    await kit.close()


async def test_the_parts_that_were_used_are_closed_with_the_kit(tmp_path: Path) -> None:
    """Breaks if close forgets a part."""
    providers = (SecretStr("google=https://id:secret@accounts.google.com"),)
    kit = kit_with(tmp_path, oauth=OauthSettings(providers=providers))
    http = kit.oauth_providers._http
    assert http is not None
    hashing_thread = await kit.passwords._in_pool(threading.current_thread)
    await kit.close()
    assert http.is_closed
    await asyncio.to_thread(hashing_thread.join, 30)
    assert not hashing_thread.is_alive()


async def test_the_mailer_is_that_of_the_settings(tmp_path: Path) -> None:
    assert isinstance(kit_with(tmp_path).mailer, FolderMailer)
    smtp = SmtpSettings(url=SecretStr("smtps://user:password@localhost:465"))
    assert isinstance(kit_with(tmp_path, smtp=smtp).mailer, SmtpMailer)
