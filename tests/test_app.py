"""The composition root: building an application opens nothing; what two releases of it share."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from restwell import App, Restwell
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running
from restwell.web import Controller, Version, get, public
from servers import free_port


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
    assert [each.prefix for each in build(Restwell(settings, name="greetings")).versions] == ["/v1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"authenticate": 5}, r"authenticate= must be a function of the access token, .* or an AuthScheme, not 5"),
        ({"authenticate": "bearer"}, "authenticate= must be"),
    ],
)
def test_another_authentication_is_refused(tiny_settings: Settings, options: Any, message: str) -> None:
    """Breaks without the check: every guarded request would be a 500."""
    with pytest.raises(TypeError, match=message):
        Restwell(tiny_settings, name="greetings").app([], **options)


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
