"""The kit starts and closes as a whole."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from restwell import Restwell
from restwell.database import query
from restwell.settings import Settings
from restwell.testing import running

one = query("test.one", text("SELECT 1"), into=int)


async def test_a_resource_of_the_application_is_closed_before_the_kit(tiny_settings: Settings) -> None:
    """Breaks when the database is closed first: the last writes of the resource would be lost."""
    kit = Restwell(tiny_settings, name="greetings")
    written: list[int] = []

    class Resource:
        async def close(self) -> None:
            written.append(await kit.database.one(one))

    assert isinstance(kit.close_on_shutdown(Resource()), Resource)
    async with running(kit.app([])):
        assert written == []
    assert written == [1]


def test_a_kit_without_settings_reads_those_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if it reads the secrets of another folder than the command does: an application may be one file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "JWT_SECRET").write_text(secret := "a secret for tests, which is long enough to be one")
    (tmp_path / ".env").write_text("PORT=1234\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/app.db")
    monkeypatch.setenv("RUNTIME_DIR", str(tmp_path / "runtime"))
    settings = Restwell().settings
    assert settings.jwt.secret is not None
    assert (settings.jwt.secret.get_secret_value(), settings.port) == (secret, 1234)


async def test_the_kit_is_closed_when_a_resource_fails_to_close(tiny_settings: Settings) -> None:
    """Breaks when the first exception ends the shutdown: threads of the database remain, and the process never ends."""
    kit = Restwell(tiny_settings, name="greetings")

    class Resource:
        async def close(self) -> None:
            raise RuntimeError("lost")

    kit.close_on_shutdown(Resource())
    threads = set(threading.enumerate())
    await kit.start()
    assert await kit.database.one(one) == 1
    with pytest.raises(RuntimeError, match="lost"):
        await kit.close()
    started = [
        thread
        for thread in set(threading.enumerate()) - threads
        if not (thread.daemon or thread.name.startswith("asyncio_"))  # of the event loop
    ]
    for thread in started:
        thread.join(10)
    assert [thread.name for thread in started if thread.is_alive()] == []
