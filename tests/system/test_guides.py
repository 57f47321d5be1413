"""The code of the guides of docs/ runs: each names its files, and most have tests in them."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from documents import PAGES, blocks
from restwell.testing import running
from servers import ROOT
from websocket import websocket

COMMANDS: Final = {
    "pip install 'restwell[ops]'": "tests/system/test_extras.py",
    "restwell migrate --adopt alembic": "tests/database/test_alembic_folder.py",
}
"""Commands of the guides, and the tests that run them."""
OTHER_TESTS: Final = "".join(
    file.read_text()
    for folder in ("tests", "shop/tests")
    for file in (ROOT / folder).rglob("test_*.py")
    if file != Path(__file__)
)
CODE: Final = {page.stem: list(blocks(f"docs/{page.name}")) for page in PAGES if page.parent.name == "docs"}
GUIDES: Final = {page: found for page, found in CODE.items() if f"docs/{page}.md" not in OTHER_TESTS}
"""The pages that no other test names: their code is run here."""
CONFIGURATION: Final = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
pythonpath = .
"""
IMPORTS_THE_OTHERS: Final = """\
from importlib import import_module
from pathlib import Path

import pytest

from restwell.settings import Settings


@pytest.mark.parametrize("module", [file.stem for file in Path(__file__).parent.glob("*.py")])
def test_the_module_makes_its_application(module: str) -> None:
    create_app = getattr(import_module(module), "create_app", None)
    if create_app is not None:
        create_app(Settings())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of all guides."""
    folder = tmp_path_factory.mktemp("guides")
    for block in (block for found in GUIDES.values() for block in found if block.language == "python"):
        assert block.file, f"a block needs the name of its file above it:\n{block.code}"
        assert not (folder / block.file).exists(), f"two guides have {block.file}"
        (folder / block.file).write_text(block.code)
    return folder


def test_the_code_of_the_guides_runs_and_its_tests_pass(folder: Path) -> None:
    """Fails if a guide uses a name that does not exist, or promises another answer than the kit gives."""
    (folder / "pytest.ini").write_text(CONFIGURATION)
    (folder / "test_the_modules.py").write_text(IMPORTS_THE_OTHERS)
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_code_of_the_guides_is_formatted(folder: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("ruff")),
        "format",
        "--isolated",
        "--line-length=120",
        "--diff",
        "--quiet",
    ]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


async def test_the_page_of_websockets_echoes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    app = import_module("chat").app
    async with running(app) as client, websocket(app, "/echo") as socket:
        assert (await client.get("/rooms")).json() == ["lobby"]
        assert (await socket.receive())["type"] == "websocket.accept"
        await socket.send("hello")
        assert (await socket.receive())["text"] == "you said hello"


def test_every_command_of_the_guides_is_run_by_a_test() -> None:
    """Fails if a command is added to a page that no other test names."""
    found = {
        line for page in GUIDES.values() for block in page if block.language == "sh" for line in block.code.splitlines()
    }
    assert found == COMMANDS.keys()
    assert [test for test in COMMANDS.values() if not (ROOT / test).exists()] == []
