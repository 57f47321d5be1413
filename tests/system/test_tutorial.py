"""Every block of docs/tutorial.md runs, in the order of the page, beside the server that the page starts."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from documents import blocks
from processes import READY_SECONDS
from servers import Served, free_port, serve, wait_until

BIN: Final = Path(sys.executable).parent
ADDRESS: Final = "http://127.0.0.1:8000"
MINUTES: Final = {
    "Hello, world": 2,
    '[{"id":1,"text":"first"}]': 5,
    'unauthorized\n{"id":2,"text":"second"}': 8,
    "2 passed": 12,
}
"""What is printed for the first request, table, signed-in user and tests, and how soon, of which reading takes most."""


def test_every_block_of_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if a block fails or prints something else than the page says, or if the machine needs a newcomer's time."""
    monkeypatch.setenv("PATH", f"{BIN}:{'/usr/bin:/bin'}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # this environment has all that the page installs
    monkeypatch.setenv("PORT", str(port := free_port()))
    printed, served, began = "", None, time.monotonic()
    reached: dict[str, float] = {}
    with ExitStack() as stack:
        for file, language, code in blocks("docs/tutorial.md"):
            if ("migrations" in code or "APP_ENV=production" in code) and served is not None:
                stack.close()  # as the page says
                served = None
            if file:
                _write(tmp_path / file, code, served)
            elif language == "text":
                assert printed.strip() == code.strip()
            elif code.endswith(" dev\n"):
                served = stack.enter_context(serve(tmp_path, *code.split(), cwd=tmp_path))
            else:
                assert language == "sh"
                printed = _run(code.replace(ADDRESS, served.url if served else f"http://127.0.0.1:{port}"), tmp_path)
                minutes = (time.monotonic() - began) / 60
                reached = dict.fromkeys((each for each in MINUTES if each in printed), minutes) | reached
    assert reached.keys() == MINUTES.keys()
    assert {each: minutes for each, minutes in reached.items() if minutes > MINUTES[each]} == {}


def test_the_readme_and_the_start_page_have_the_hello_of_the_tutorial() -> None:
    hello = next(block.code for block in blocks("docs/tutorial.md") if block.file == "hello.py")
    for page in ("README.md", "docs/index.md"):
        assert next(block.code for block in blocks(page) if block.language == "python") == hello, page


def _write(file: Path, code: str, served: Served | None) -> None:
    """Write a file; a server that watches it serves the new code afterwards."""
    starts = served.output.count('"event":"serving"') if served is not None else 0
    file.write_text(code)
    if served is not None and file.suffix == ".py":
        wait_until(lambda: served.output.count('"event":"serving"') > starts and served.is_ready())


def _run(code: str, folder: Path) -> str:
    command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=READY_SECONDS)
    assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
    return done.stdout
