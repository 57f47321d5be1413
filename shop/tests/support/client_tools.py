"""The tools of generators, compilers and linters, in the folder that `make clients` fills."""

import subprocess
from pathlib import Path
from typing import Final

from servers import ROOT

PROGRAMS: Final = ROOT / "shop/tests/clients"
TOOLS: Final = ROOT / "build/clients"
NODE: Final = TOOLS / "node_modules/.bin"
PYTHON: Final = TOOLS / "bin"
VERSIONS: Final = ("v1", "v2")


def run(folder: Path, *command: str | Path) -> str:
    """The output of a tool. Fails with it if the tool fails."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout
