"""The TypeScript client of `restwell client typescript` compiles strictly and behaves. `make clients` runs these."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import msgspec
import pytest

from client_tools import NODE, PROGRAMS, TOOLS, VERSIONS, run
from forged_tokens import expired
from restwell import Restwell
from restwell.settings import Settings
from restwell.testing import FaultProxy
from restwell.web import Version
from servers import RESTWELL, ROOT, free_port, restwell, serve
from tiny.app import authenticate
from tiny.kinds import KindController

pytestmark = pytest.mark.system

SECRET: Final = "a secret for tests, which is long enough to be one"
PAGE: Final = (ROOT / "docs/clients.md").read_text().partition("```ts\n")[2].partition("```")[0]
"""The example of the page."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the compiled clients of both versions with their programs, and one with every type of value."""
    folder = tmp_path_factory.mktemp("typescript")
    kinds = Restwell(Settings(), name="kinds").app([Version("/v1", [KindController])], authenticate=authenticate)
    (folder / "kinds.json").write_bytes(msgspec.json.encode(kinds.openapi))
    for version in VERSIONS:
        generate(folder / version / "client", "--version", f"/{version}")
        for program in PROGRAMS.glob("kit_*.ts"):
            shutil.copy(program, folder / version)
        (folder / version / "page.ts").write_text(f"declare const email: string, password: string, id: string;\n{PAGE}")
    generate(folder / "kinds" / "client", str(folder / "kinds.json"))
    shutil.copy(PROGRAMS / "runtime.test.mjs", folder / "kinds" / "client")
    for config in ("package.json", "tsconfig.browsers.json", "tsconfig.node.json"):
        shutil.copy(PROGRAMS / config, folder)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    run(folder, NODE / "tsc", "-p", "tsconfig.node.json")
    run(folder, NODE / "tsc", "-p", "tsconfig.browsers.json")
    return folder


def generate(folder: Path, *arguments: str) -> None:
    ended = restwell("client", "typescript", str(folder), *arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.fixture
def shop_url(empty_url: str, tmp_path: Path) -> Iterator[str]:
    settings = {"DATABASE_URL": empty_url, "APP_ENV": "development", "JWT_SECRET": SECRET}
    restwell("migrate", cwd=ROOT, **settings)
    restwell("seed", cwd=ROOT, **settings)
    limits = {"RATE_LIMIT_SCALE": "1", "RATE_LIMIT_READS": "20/2"}
    with serve(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings, **limits) as served:
        yield served.url


def expired_tokens(url: str, version: str) -> str:
    """The tokens of a customer, as they are when the access token has expired."""
    body = {"email": "customer1@shop.example", "password": "demo-password-2026"}
    tokens = httpx.post(f"{url}/{version}/sessions", json=body).raise_for_status().json()
    return json.dumps({**tokens, "access_token": expired(SECRET, tokens["access_token"])})


def test_the_runtime_keeps_its_promises(folder: Path) -> None:
    run(folder / "kinds" / "client", "node", "--test", "runtime.test.mjs")


def test_a_customer_orders_in_both_versions(folder: Path, shop_url: str) -> None:
    """Seen to fail: closed enums, and a client without Retry-After."""
    for version in VERSIONS:
        arguments = (shop_url, expired_tokens(shop_url, version), str(free_port()))
        assert run(folder / version, "node", "kit_journey.js", *arguments) == "done\n"


async def test_a_lost_answer_never_makes_a_second_order(folder: Path, shop_url: str) -> None:
    """Seen to fail with a new key for each attempt, and with every request sent again."""
    port = int(shop_url.rpartition(":")[2])
    async with FaultProxy(port) as loses_two, FaultProxy(port) as loses_all:
        loses_two.responses_to_lose, loses_all.responses_to_lose = 2, 1_000
        urls = [shop_url, *(f"http://127.0.0.1:{each.port}" for each in (loses_two, loses_all))]
        printed = await asyncio.to_thread(run, folder / "v2", "node", "kit_lost_answers.js", *urls)
        assert (loses_two.accepted, loses_all.accepted) == (3, 1)
    seen = {"orders": 1, "isTheOrder": True, "cancellation": True, "status": "cancelled"}
    assert json.loads(printed) == seen
