"""Generators and linters accept the documents of the shop, and the generated clients work. `make clients` runs these.

Their own environments are in build/clients: the Python generator needs an older Typer than the kit.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

import accounts_app
import webhook_app
from client_tools import NODE, PROGRAMS, PYTHON, TOOLS, VERSIONS, run
from restwell.settings import Settings
from servers import RESTWELL, restwell, serve
from shop.app import create_app
from shop.settings import ShopSettings

pytestmark = pytest.mark.system

DOCUMENTS: Final = (*VERSIONS, "accounts", "webhooks")
"""Those of the shop, that of an application with all accounts of the kit, and one with webhooks."""
IN_V1: Final = {
    "v2": "v1",
    "ProductListing": "ProductPage",
    "page.data": "page.items",
    "page?.data": "page?.items",
    "total.amount": "total_cents",
    "price.amount": "price_cents",
    "product.price,": "product.price_cents,",
}
"""What is different in the journey of version 1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the documents, the journeys of both versions, and the tools of Node.js."""
    folder = tmp_path_factory.mktemp("clients")
    for version in VERSIONS:
        document = create_app(ShopSettings()).documents[f"/{version}"]
        (folder / f"{version}.json").write_bytes(msgspec.json.encode(document))
    for name, module in (("accounts", accounts_app), ("webhooks", webhook_app)):
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(module.create_app(Settings()).openapi))
    for each in PROGRAMS.iterdir():
        if each.suffix in {".json", ".yaml"}:
            shutil.copy(each, folder)
    for name in ("journey.py", "journey.ts"):
        journey = (PROGRAMS / name).read_text()
        stem, suffix = name.split(".")
        (folder / f"{stem}_v2.{suffix}").write_text(journey)
        for new, old in IN_V1.items():
            journey = journey.replace(new, old)
        (folder / f"{stem}_v1.{suffix}").write_text(journey)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    return folder


@pytest.fixture(scope="module")
def python_client(folder: Path) -> Path:
    """The Python clients of each document, generated without a warning."""
    for version in DOCUMENTS:
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
    """The TypeScript clients of each document, compiled with the journeys. Fails if the strict compiler reports one."""
    for version in DOCUMENTS:
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


@pytest.mark.parametrize("version", DOCUMENTS)
def test_the_linters_report_nothing(folder: Path, version: str) -> None:
    """Seen to fail: tags had no description. The rules that are turned off say why in their files."""
    redocly = run(folder, NODE / "redocly", "lint", f"{version}.json", "--config=redocly.yaml", "--format=json")
    assert [each["message"] for each in json.loads(redocly)["problems"]] == []
    ruleset = ["--ruleset=spectral.yaml", "--fail-severity=hint", "--quiet"]
    run(folder, NODE / "spectral", "lint", f"{version}.json", *ruleset)


def test_the_python_clients_have_strict_types(python_client: Path) -> None:
    """Seen to fail: a schema with the name of its only property, and a text described as a file."""
    clients = [f"shop_{each}" for each in DOCUMENTS]
    run(python_client, PYTHON / "mypy", "--strict", *clients, "journey_v1.py", "journey_v2.py")


def test_a_customer_orders_with_the_python_clients(python_client: Path, shop_url: str) -> None:
    for version in VERSIONS:
        assert run(python_client, PYTHON / "python", f"journey_{version}.py", shop_url) == "done"


def test_a_customer_orders_with_the_typescript_clients(typescript_client: Path, shop_url: str) -> None:
    for version in VERSIONS:
        assert run(typescript_client, "node", f"compiled/journey_{version}.js", shop_url) == "done\n"
