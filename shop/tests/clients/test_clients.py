"""Generators and linters accept the documents of the shop, and the generated clients work. `make clients` runs these.

Their own environments are in build/clients: the Python generator needs an older Typer than the kit.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from client_tools import NODE, PROGRAMS, PYTHON, TOOLS, VERSIONS, run
from servers import RESTWELL, restwell, serve
from shop.app import create_app
from shop.settings import ShopSettings

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the documents of both versions, and the tools of Node.js."""
    folder = tmp_path_factory.mktemp("clients")
    for version in VERSIONS:
        document = create_app(ShopSettings()).documents[f"/{version}"]
        (folder / f"{version}.json").write_bytes(msgspec.json.encode(document))
    for each in PROGRAMS.iterdir():
        if each.suffix in {".json", ".yaml", ".ts"} or each.name == "journey.py":
            shutil.copy(each, folder)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    return folder


@pytest.fixture(scope="module")
def python_client(folder: Path) -> Path:
    """The Python clients of both versions, generated without a warning."""
    for version in VERSIONS:
        output = ["--meta", "none", "--output-path", f"shop_{version}", "--config", "generator.yaml"]
        run(
            folder,
            PYTHON / "openapi-python-client",
            "generate",
            "--fail-on-warning",
            "--path",
            f"{version}.json",
            *output,
        )
    return folder


@pytest.fixture(scope="module")
def typescript_client(folder: Path) -> Path:
    """The TypeScript clients of both versions, compiled with the journey. Fails if the strict compiler reports one."""
    for version in VERSIONS:
        assert "warning" not in run(folder, NODE / "openapi-ts", "-i", f"{version}.json", "-o", version).lower()
        assert (
            "warning"
            not in run(folder, NODE / "openapi-typescript", f"{version}.json", "-o", f"{version}.d.ts").lower()
        )
    run(folder, NODE / "tsc", "-p", ".")
    return folder


@pytest.fixture
def shop_url(empty_url: str, tmp_path: Path) -> Iterator[str]:
    restwell("migrate", DATABASE_URL=empty_url, APP_ENV="development")
    restwell("seed", DATABASE_URL=empty_url, APP_ENV="development")
    with serve(tmp_path, RESTWELL, "serve", DATABASE_URL=empty_url, APP_ENV="development") as served:
        yield served.url


@pytest.mark.parametrize("version", VERSIONS)
def test_the_linters_report_nothing(folder: Path, version: str) -> None:
    """Seen to fail: tags had no description. The rules that are turned off say why in their files."""
    redocly = run(folder, NODE / "redocly", "lint", f"{version}.json", "--config=redocly.yaml", "--format=json")
    assert [each["message"] for each in json.loads(redocly)["problems"]] == []
    ruleset = ["--ruleset=spectral.yaml", "--fail-severity=hint", "--quiet"]
    run(folder, NODE / "spectral", "lint", f"{version}.json", *ruleset)


def test_the_python_clients_have_strict_types(python_client: Path) -> None:
    """Seen to fail: a schema with the name of its only property, and a text described as a file."""
    run(python_client, PYTHON / "mypy", "--strict", "shop_v1", "shop_v2", "journey.py")


def test_a_customer_orders_with_the_python_client(python_client: Path, shop_url: str) -> None:
    assert run(python_client, PYTHON / "python", "journey.py", shop_url) == "done"


def test_a_customer_orders_with_the_typescript_client(typescript_client: Path, shop_url: str) -> None:
    assert run(typescript_client, "node", "compiled/journey.js", shop_url) == "done\n"
