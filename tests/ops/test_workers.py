"""The page of processes and workers."""

from datetime import UTC, datetime, timedelta

import pytest

from ops_app import FormBrowser
from restwell import App
from restwell.observability._watchdog import Block
from restwell.ops import _workers as workers


async def test_the_page_shows_processes_and_what_blocked_their_event_loops(app: App, admin: FormBrowser) -> None:
    app.kit.watchdog.blocks.append(Block(datetime.now(UTC), 0.25, '  File "slow.py", line 3, in slow\n    sleep(1)\n'))
    app.kit.watchdog.blocks.append(Block(datetime.now(UTC) - timedelta(hours=1), 0.1, ""))
    page = await admin.open("/ops/workers")
    assert "serves requests" in page
    assert "250 ms" in page
    assert "slow.py" in page
    assert "not captured" in page
    assert "No job is running." in page
    overview = await admin.open("/ops")
    recent = sum(block.at > datetime.now(UTC) - timedelta(minutes=30) for block in app.kit.watchdog.blocks)
    assert recent < len(app.kit.watchdog.blocks)
    assert f"blocked event loops in the last minutes: {recent}, for up to" in overview, "a busy machine blocks it too"
    assert "Something needs attention" in overview
    app.kit.watchdog.blocks.clear()


async def test_a_process_that_does_not_report_is_wrong(admin: FormBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LATE_SECONDS", -1)
    assert "does not respond" in await admin.open("/ops/workers")
    assert "Something is wrong" in await admin.open("/ops")
