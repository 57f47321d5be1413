"""The test client starts the production app and reports a failed startup."""

import pytest
from pydantic import SecretStr

from restwell.settings import DatabaseSettings, Settings
from restwell.testing import running
from tiny.app import create_app


async def test_a_failed_startup_raises_its_reason(tiny_settings: Settings) -> None:
    database = DatabaseSettings(url=SecretStr("sqlite:////proc/none/x.db"))
    settings = tiny_settings.model_copy(update={"database": database})
    with pytest.raises(RuntimeError, match=r"(?s)startup failed: .*cannot open /proc/none/x\.db"):
        async with running(create_app(settings)):
            pass
