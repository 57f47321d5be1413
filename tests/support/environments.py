"""Commands in tests: the environment of an application, and the effect of signals on a process."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Final

from commands import Process
from processes import descendants_of
from restwell.database import Migrations, open_database
from servers import SUPPORT, Served

IMMEDIATE_SECONDS: Final = 12
"""Much less than the duration of the slow request and the slow job."""


async def migrated(database: Path, module: str) -> dict[str, str]:
    """Migrate a database for the application of the module, such as ``tiny.app``, and return its environment."""
    url = f"sqlite:///{database}"
    async with open_database(url, 1) as opened:
        await Migrations(SUPPORT / module.partition(".")[0] / "migrations").upgrade(opened)
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    return {"RESTWELL_APP": f"{module}:project", "PYTHONPATH": path, "DATABASE_URL": url}


async def wait_for_exit(process: Process, seconds: float) -> int:
    return await asyncio.to_thread(process.wait, seconds)


def assert_ignores_user_signals(served: Served) -> None:
    """Breaks when SIGUSR1 or SIGUSR2 has its default action, which terminates the process."""
    started = descendants_of(served.process.pid)
    for process in (served.process.pid, *started):
        os.kill(process, signal.SIGUSR1)
        os.kill(process, signal.SIGUSR2)
    time.sleep(0.2)
    assert served.process.poll() is None
    assert set(started) <= set(descendants_of(served.process.pid))
