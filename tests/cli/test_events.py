"""``restwell events``: what an operator sees of the consumers."""

import asyncio
import re
from pathlib import Path

import pytest

from environments import migrated
from events_app.app import Recorder, add_count, counts, create_app
from restwell.database import Transaction
from restwell.events import Event
from restwell.settings import Settings
from restwell.testing import running
from servers import SUPPORT, restwell

pytestmark = pytest.mark.integration


async def test_consumers_are_listed_with_the_events_that_they_cannot_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if an operator does not see which event fails, and why."""
    environment = await migrated(tmp_path / "events.db", "events_app.app")

    async def fail(_self: Recorder, _tx: Transaction, _event: Event[object]) -> None:
        raise ValueError("[red] is no colour\nof a product")

    secret = "a secret for tests, which is long enough to be one"
    url = environment["DATABASE_URL"]
    app = create_app(Settings.load({"DATABASE_URL": url, "JWT_SECRET": secret, "RUNTIME_DIR": str(tmp_path)}))
    listed = await asyncio.to_thread(restwell, "events", cwd=tmp_path, **environment)
    assert listed.stdout.splitlines()[-1].split() == ["recorder", "counts", "0"]
    async with running(app):
        async with app.kit.database.transaction() as tx:
            for key in ("a", "a", "b"):
                await add_count(tx, app.kit.events, key)
        with monkeypatch.context() as patched:
            patched.setattr(Recorder, "apply", fail)
            await app.kit.consumers.apply_all()
    listed = await asyncio.to_thread(restwell, "events", cwd=tmp_path, **environment)
    first, second = listed.stdout.splitlines()[-2:]
    assert first.split()[:3] == ["recorder", "counts", "3"]
    failing = [re.search(r" (counts:\d+:1) +1 +ValueError: \[red\] is no colour *$", line) for line in (first, second)]
    events = {f"counts:{counts.partition_of(key)}:1" for key in "ab"}
    assert {found[1] for found in failing if found is not None} == events


def test_an_application_without_consumers_says_so(tmp_path: Path) -> None:
    environment = {"RESTWELL_APP": "tiny.app:project", "PYTHONPATH": str(SUPPORT)}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'tiny.db'}"
    refused = restwell("events", cwd=tmp_path, **environment)
    assert (refused.returncode, "run restwell migrate" in refused.stderr) == (2, True)
    restwell("migrate", cwd=tmp_path, **environment).check_returncode()
    listed = restwell("events", cwd=tmp_path, **environment)
    assert (listed.returncode, listed.stdout) == (0, "the application has no consumers of events\n")
