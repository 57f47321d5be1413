"""A client that knows no schema reads it by reflection, and calls the shop over a socket."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers import RESTWELL, ROOT, free_port, serve

SERVICE = "shop.v1.CatalogService"


class Curl:
    """``buf curl``: it asks the server for the schema."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def __call__(self, method: str, data: object, *options: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / ".venv/bin/buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options]
        target = f"{self._url}/{method}"
        return subprocess.run(
            [*command, "--data", json.dumps(data), target], capture_output=True, text=True, check=False
        )

    def read(self, method: str, data: object) -> Any:
        found = self(method, data)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)


@pytest.fixture
def curl(database_url: str, tmp_path: Path) -> Iterator[Curl]:
    port = free_port()
    environment = {"DATABASE_URL": database_url, "WORKERS": "2", "GRPC_PORT": str(port)}
    with serve(tmp_path, RESTWELL, "serve", cwd=ROOT, **environment):
        yield Curl(port)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_client_without_a_schema_calls_the_shop(curl: Curl) -> None:
    """Fails if reflection, the health service or a status is not that of the protocol."""
    found = curl.read(f"{SERVICE}/ListProducts", {"limit": 2, "category": "audio", "sort": "PRODUCT_SORT_CHEAPEST"})
    assert [each["category"] for each in found["items"]] == ["audio", "audio"]
    first = found["items"][0]
    assert curl.read(f"{SERVICE}/GetProduct", {"productId": first["id"]})["product"] == first
    assert curl.read("grpc.health.v1.Health/Check", {"service": SERVICE}) == {"status": "SERVING"}
    refused = curl("shop.v1.OrderService/CreateOrder", {"items": []})
    assert refused.returncode != 0
    problem = json.loads(refused.stderr)
    assert problem["code"] == "unauthenticated"
    assert "google.rpc.ErrorInfo" in {each["type"] for each in problem["details"]}
