"""The resource of docs/add-a-resource.md works as written, and is as short as promised."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from servers import ROOT

MAX_LINES = 90
CALLS = """
import asyncio

from restwell.testing import running
from shop import demo
from shop.app import create_app
from shop.settings import ShopSettings

BODY = {"rating": 5, "body": "Clear sound."}


async def call() -> None:
    app = create_app(ShopSettings.load(__import__("os").environ))
    async with running(app) as client:
        await demo.seed(app.kit.database)
        tokens = []
        for name in ("customer1", "customer2"):
            account = {"email": f"{name}@shop.example", "password": demo.PASSWORD}
            tokens.append((await client.post("/v1/sessions", json=account)).json()["access_token"])
        one, other = ({"authorization": f"Bearer {token}"} for token in tokens)
        product = (await client.get("/v1/products?limit=1")).json()["items"][0]["id"]
        path = f"/v1/products/{product}/reviews"
        assert (await client.get(path)).json() == {"items": [], "next_cursor": None}
        added = await client.post(path, json=BODY, headers=one)
        assert added.status_code == 201, added.text
        assert added.headers["location"] == f"{path}/{added.json()['id']}"
        assert (await client.post(path, json=BODY, headers=one)).json()["code"] == "already_reviewed"
        assert (await client.post(path, json=BODY, headers=other)).status_code == 201
        assert (await client.post(path, json={**BODY, "rating": 6}, headers=other)).status_code == 422
        page = (await client.get(f"{path}?limit=1")).json()
        rest = (await client.get(f"{path}?limit=1&cursor={page['next_cursor']}")).json()
        assert [len(page["items"]), rest["items"], rest["next_cursor"]] == [1, [added.json()], None]
        assert "hit" in (await client.get(f"{path}?limit=1")).headers["cache-status"]
        assert (await client.post(path.replace(product[:8], "00000000"), json=BODY, headers=one)).status_code == 404


asyncio.run(call())
"""


def files() -> dict[str, str]:
    """The code of the document by the path of its file."""
    text = (ROOT / "docs/add-a-resource.md").read_text()
    return dict(re.findall(r"^### `([\w/.]+)`\n.*?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_the_resource_of_the_document_works(tmp_path: Path) -> None:
    """Breaks when the document lags behind the kit: each block is a file of a copy of the shop."""
    shutil.copytree(ROOT / "shop/src", tmp_path / "shop/src", ignore=shutil.ignore_patterns("__pycache__"))
    app = tmp_path / "shop/src/shop/app.py"
    for path, code in files().items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
    text = app.read_text().replace("reports, AdminJobController]", "reports, reviews, AdminJobController]", 1)
    app.write_text(text.replace("from shop.settings", "from shop.reviews.routes import reviews\nfrom shop.settings", 1))
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "shop/src"),
        "DATABASE_URL": f"sqlite:///{tmp_path}/shop.db",
        "JWT_SECRET": "a secret that is long enough for this test",
        "RESTWELL_APP": "shop.app:shop",
    }
    restwell = str(Path(sys.executable).with_name("restwell"))
    for command in ([restwell, "migrate"], [restwell, "explain"], [sys.executable, "-c", CALLS]):
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_resource_takes_at_most_90_lines_in_four_files() -> None:
    """Without blank lines."""
    code = [text for path, text in files().items() if "/reviews/" in path]
    lines = [line for text in code for line in text.splitlines() if line.strip()]
    assert (len(code), len(lines) <= MAX_LINES) == (4, True), len(lines)
