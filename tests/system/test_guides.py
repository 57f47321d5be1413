"""The code of the guides of docs/ runs: each names its files, and most have tests in them."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from documents import PAGES, Block, blocks
from restwell.testing import running
from servers import ROOT
from websocket import websocket

PAGES_WITH_TESTS: Final = {
    "accounts": "tests/accounts/test_feature_documents.py",
    "add-a-resource": "shop/tests/system/test_add_a_resource.py",
    "clients": "tests/client/test_typescript_page.py",
    "contract-gate": "tests/cli/test_api_page.py",
    "deployment": "shop/tests/deploy/test_image_files.py",
    "doctor": "tests/cli/test_doctor.py",
    "existing-applications": "tests/test_asgi_existing_applications.py",
    "graphql": "shop/tests/test_graphql.py",
    "grpc": "tests/grpc/test_server_workers.py",
    "kubernetes": "shop/tests/deploy/test_kubernetes.py",
    "testing": "tests/testing/test_testing_page.py",
    "tokens": "tests/auth/test_trusted_issuer_app.py",
    "tracing": "tests/test_tracing.py",
    "tutorial": "tests/system/test_tutorial.py",
    "versioning": "tests/test_app_versioning_page.py",
}
"""Pages whose code other tests run."""
COMMANDS: Final = {
    "pip install 'restwell[dev,docs]'": "tests/system/test_tutorial.py",
    "restwell --app hello:app dev": "tests/system/test_tutorial.py",
    "pip install 'restwell[ops]'": "tests/system/test_extras.py",
}
"""Commands of the other pages, and the tests that run them."""
CODE: Final = {page.stem: list(blocks(f"docs/{page.name}")) for page in PAGES if page.parent.name == "docs"}
GUIDES: Final = {
    page: [block for block in found if block.language == "python"]
    for page, found in CODE.items()
    if page not in PAGES_WITH_TESTS and page != "index"
}
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
    for block in (block for found in GUIDES.values() for block in found):
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


def test_every_block_and_every_command_of_the_pages_is_run() -> None:
    """Fails if a page with code is added that no test runs."""
    for page, test in PAGES_WITH_TESTS.items():
        assert f"docs/{page}.md" in (ROOT / test).read_text(), f"{test} does not run docs/{page}.md"
    others = (block for page, found in CODE.items() if page not in PAGES_WITH_TESTS for block in found)
    for block in (block for block in others if is_shell(block)):
        assert set(block.code.splitlines()) <= COMMANDS.keys(), block.code


def is_shell(block: Block) -> bool:
    return block.language in {"sh", "bash", "shell"}
