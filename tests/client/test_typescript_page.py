"""The command of docs/clients.md. `make clients` compiles its code."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from servers import RESTWELL, ROOT
from tiny.environment import tiny_environment

pytestmark = pytest.mark.integration
PAGE = (ROOT / "docs/clients.md").read_text()


def test_the_command_of_the_page_writes_the_same_files_again(tmp_path: Path) -> None:
    """Seen to fail: the order of the error classes was that of a set."""
    (command,) = re.findall(r"```sh\nrestwell (client typescript .*)\n```", PAGE)
    written = []
    for seed in ("1", "2"):
        environment = {**os.environ, **tiny_environment(f"sqlite:///{tmp_path / 'tiny.db'}"), "PYTHONHASHSEED": seed}
        program = [RESTWELL, *command.split()]
        ended = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        written.append({path.name: path.read_bytes() for path in (tmp_path / "web/src/shop").iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"api.ts", "types.ts", "runtime.ts"}
