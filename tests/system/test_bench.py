"""The bench runs from end to end, and what the README shows of it is what it found."""

import json
import re
import subprocess
import sys

from report import chart, readme_with  # the bench's own
from servers import ROOT


def bench(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_quick_run_compares_right_answers_with_right_answers() -> None:
    """With what the peer needs installed by the command itself."""
    told = bench("make", "bench", "QUICK=1", "ONLY=W1,W5,express,raw-asgi")
    assert "out of the race" not in told
    for work, names in {"W1": ("restwell", "express", "raw-asgi"), "W5": ("restwell", "express")}.items():
        table = told.partition(f"{work} ")[2].partition("W5 ")[0] if work == "W1" else told.partition("W5 ")[2]
        for name in names:
            assert re.search(rf"{name} .*[1-9][\d,]*", table), told


def test_who_answers_wrongly_is_not_timed() -> None:
    """This one writes its lines for people, not as JSON."""
    wrong = ("wrong=src,LOG_FORMAT=pretty", "--only=W1", "--quick")
    told = bench(sys.executable, "bench/routes.py", *wrong)
    assert "wrong is out of the race: W1: " in told
    assert not re.search(r"│ wrong", told)


def test_the_readme_shows_what_was_found() -> None:
    """Breaks when a figure of it is typed."""
    found = json.loads((ROOT / "bench/results/peers.json").read_text())
    readme = (ROOT / "README.md").read_text()
    assert readme_with(readme, found) == readme
    assert chart(found) == (ROOT / "bench/results/peers.svg").read_text()
