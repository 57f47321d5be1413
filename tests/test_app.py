"""The composition root: when it opens what, and what two releases of an application share."""

import threading
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from restwell import App, Restwell
from restwell.database import query
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Version, get, public
from servers import free_port

one = query("test.one", text("SELECT 1"), into=int)


class Greetings(Controller):
    path = "/greetings"

    @get(cache=public(ttl_seconds=60, tags=[]))
    async def greet(self) -> str:
        """Greet."""
        return "hello"


def build(kit: Restwell, description: str = "Greetings.") -> App:
    return kit.app([Version("/v1", [Greetings])], description=description)


@pytest.mark.parametrize("url", ["sqlite:///{folder}/tiny.db", "postgresql://u@127.0.0.1:{port}/d"])
def test_an_application_is_built_without_a_connection_or_a_file(tmp_path: Path, url: str) -> None:
    """Breaks when a constructor connects: a command that inspects the application would need the database."""
    settings = Settings(
        database=DatabaseSettings(url=SecretStr(url.format(folder=tmp_path, port=free_port()))),
        jwt=JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one")),
        runtime_dir=tmp_path / "run",
    )
    assert build(Restwell(settings, name="greetings")).prefixes == ["/v1"]
    assert list(tmp_path.iterdir()) == []


async def test_a_resource_of_the_application_is_closed_before_the_kit(tiny_settings: Settings) -> None:
    """Breaks when the database is closed first: the last writes of the resource would be lost."""
    kit = Restwell(tiny_settings, name="greetings")
    written: list[int] = []

    class Resource:
        async def close(self) -> None:
            written.append(await kit.database.one(one))

    assert isinstance(kit.close_on_shutdown(Resource()), Resource)
    async with running(build(kit)):
        assert written == []
    assert written == [1]


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
    assert {thread.name for thread in set(threading.enumerate()) - threads if not thread.daemon} == set()


async def test_a_cached_response_is_used_by_its_own_release_only(tiny_settings: Settings) -> None:
    """Breaks when the key of a response has no digest of the OpenAPI document.

    A deploy with another document would respond with what the previous release cached.
    """
    same, again, other = [
        build(Restwell(tiny_settings, name="greetings"), description)
        for description in ("Greetings.", "Greetings.", "Other greetings.")
    ]

    async def cache_status(client: httpx.AsyncClient) -> str:
        return (await client.get("/v1/greetings")).headers["cache-status"].split("; ")[1]

    async with running(same) as first, running(again) as second, running(other) as third:
        assert [await cache_status(client) for client in (first, second, third)] == ["fwd=miss", "hit", "fwd=miss"]
