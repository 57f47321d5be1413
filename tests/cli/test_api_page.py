"""The commands of docs/contract-gate.md."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from servers import RESTWELL, ROOT
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs/contract-gate.md").read_text()


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    """Breaks when a command of the page has an option that does not exist."""
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    first, *others = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(settings)
    who = "git -c user.name=tester -c user.email=tester@example.com -c commit.gpgsign=false"
    commit = f"git init --quiet\ngit add .\n{who} commit --quiet --message=first\ngit tag v1.0.0\n"
    environment = {
        **os.environ,
        **tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}"),
        "PATH": f"{Path(RESTWELL).parent}:{os.environ['PATH']}",
    }
    script = "".join(("set -e\n", first, commit, *others))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("0 breaking, 0 risky, 0 safe") == 5
    assert len(PAGE.splitlines()) <= 65
