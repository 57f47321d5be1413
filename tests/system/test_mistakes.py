"""Each mistake that the kit can see is met with a sentence: it has the place and the cure, and is no traceback."""

import asyncio
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from cases import each
from mistakes import AT_A_REQUEST, AT_START, Mistake
from restwell import Restwell
from restwell.database import open_database
from restwell.settings import DatabaseSettings, JwtSettings, Settings
from restwell.testing import running
from servers import restwell

MAX_LINES = 6  # of the frame around an error of the command line


@each("mistake", AT_START, ids=[mistake.name for mistake in AT_START])
async def test_a_mistake_at_the_start_is_a_sentence(tmp_path: Path, mistake: Mistake) -> None:
    """Fails if an exception of the application's code, or of the kit, leaves the command."""
    folder = tmp_path / mistake.name
    for name, text in {"bookshop.py": mistake.module, **mistake.files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1")
    async with server:
        port = str(server.sockets[0].getsockname()[1])
        environment = {"RESTWELL_APP": "bookshop:project", "RUNTIME_DIR": str(folder / "runtime"), "PORT": "0"}
        environment |= {"DATABASE_URL": "sqlite:///bookshop.db"} | dict(mistake.environment)
        given = {name: value.replace("{port}", port) for name, value in environment.items()}
        if given["PORT"] == "0":
            del given["PORT"]
        done = await asyncio.to_thread(restwell, *mistake.command, cwd=folder, **given)
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) <= MAX_LINES, done.stderr
    assert "Traceback" not in done.stderr
    for text in mistake.told:
        assert text.replace("{port}", port) in done.stderr, done.stderr


@each("mistake", AT_A_REQUEST, ids=[mistake.name for mistake in AT_A_REQUEST])
async def test_a_mistake_at_a_request_is_logged_with_its_cure(tmp_path: Path, mistake: Mistake) -> None:
    """Fails if the log has the error of a library without a hint, or if the request waits for itself."""
    file = tmp_path / f"{mistake.name}.py"
    file.write_text(mistake.module)
    loaded: dict[str, Any] = {"__name__": "bookshop"}
    exec(compile(mistake.module, str(file), "exec"), loaded)  # noqa: S102  # code of this test
    url = f"sqlite:///{tmp_path / mistake.name}.db"
    secret = JwtSettings(secret=SecretStr("a secret for tests, which is long enough to be one"))
    settings = Settings(database=DatabaseSettings(url=SecretStr(url)), jwt=secret, runtime_dir=tmp_path / "runtime")
    app = Restwell(settings, name="bookshop").app(loaded["parts"])
    if not mistake.name.startswith("no table"):
        async with open_database(url) as database:
            await app.migrations.upgrade(database)
            async with database.migration() as tx:
                await tx.run_script("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    method = "POST" if "@post" in mistake.code else "GET"
    with capture_logs() as logs:
        async with running(app) as client:
            response = await client.request(method, "/books")
    assert response.status_code == 500, logs
    (error,) = (line["exc_info"] for line in logs if line["event"] == "unhandled_exception")
    shown = "".join(traceback.format_exception(error))
    for text in mistake.told:
        assert text in shown


async def test_a_database_that_is_not_open_is_not_called_unreachable(tmp_path: Path) -> None:
    """Fails if a forgotten ``async with`` looks like an outage."""
    database = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(Exception, match="use it inside `async with database`"):
        async with database.transaction():
            pass
    assert sys.exc_info() == (None, None, None)
