"""The queries of dashboards and alerts return series in a real Prometheus that scrapes two workers of the shop."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from api_client import Json
from order_load import http_client
from prometheus import Prometheus, prometheus
from servers import RESTWELL, ROOT, free_port, restwell, serve, working
from shop.v1.catalog_pb2 import GetProductRequest
from shop.v1.catalog_pb2_grpc import CatalogServiceStub
from shop_client import ShopClient

SECONDS = 6
ATTEMPTS = 5
DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.integration


async def load(url: str, grpc_address: str, name: str, tokens: Json, product: Json) -> None:
    """Orders and replays, reads, calls, wrong passwords, and one client that exceeds a rate limit."""
    async with http_client(url) as client, grpc.aio.insecure_channel(grpc_address) as channel:
        catalog: Any = CatalogServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        buyer = ShopClient(client)
        buyer.tokens = tokens
        stop, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < stop:
            number += 1
            for _ in range(2):
                await buyer.order(f"{name} {number}", (product["id"], 1))
            await buyer.get(f"/v1/orders?limit={number % 5 + 1}")
            with suppress(grpc.aio.AioRpcError):  # the limit of reads is exceeded here too
                await catalog.GetProduct(GetProductRequest(product_id=product["id"]))
            await client.post("/v1/sessions", json={"email": f"{name}{number}@shop.example", "password": "wrong one"})
            await asyncio.gather(*(client.get(f"/v1/products?limit={each % 5 + 1}") for each in range(20)))
            await asyncio.sleep(0.1)


class Asked(NamedTuple):
    """A query, and the labels that its legend or the text of its alert shows."""

    name: str
    expression: str
    labels: set[str]


def queries_of_dashboards() -> Iterator[Asked]:
    """Grafana's variables have the values for this test."""
    for file in sorted((DEPLOY / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$job", ".+").replace("$__rate_interval", "5s")
                legend = {*re.findall(r"{{(\w+)}}", target["legendFormat"])}
                yield Asked(f"{file.stem}: {panel['title']}", text, legend)


def queries_of_alerts(rules: list[Json]) -> Iterator[Asked]:
    """What they measure: without the condition, which is false while all is well."""
    for rule in rules:
        measured = re.sub(r" > [\d.]+$|^absent", "", rule["query"])
        assert measured != rule["query"]
        yield Asked(rule["name"], measured, {*re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])})


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_every_query_of_the_dashboards_and_alerts_returns_a_series(empty_url: str, tmp_path: Path) -> None:
    """Breaks when a query uses a label or a metric that does not exist, or divides by nothing.

    Seen to fail: with a label that is misspelt, and without the replacement of a missing share by 0.
    """
    settings = {
        "DATABASE_URL": empty_url,
        "RESTWELL_APP": "shop.app:shop",
        "WORKERS": "2",
        "METRICS_DIR": str(tmp_path / "metrics"),
        "RATE_LIMIT_SCALE": "1",
        "RATE_LIMIT_READS": "200/60",
        "GRPC_PORT": str(port := free_port()),
    }
    address = f"127.0.0.1:{port}"
    (tmp_path / "metrics").mkdir()
    for command in ("migrate", "seed"):
        restwell(command, cwd=ROOT, **settings).check_returncode()
    with (
        serve(tmp_path, RESTWELL, "serve", cwd=ROOT, **settings) as served,
        prometheus(tmp_path, served.url.removeprefix("http://"), DEPLOY / "prometheus/restwell.rules.yml") as server,
    ):
        async with http_client(served.url) as client:
            buyer = await ShopClient(client).sign_in("customer1@shop.example")
            product = await buyer.first_product()
        await asyncio.gather(
            *(load(served.url, address, f"first{number}", buyer.tokens, product) for number in range(2))
        )
        wrong: list[Asked] = []
        with working(tmp_path, cwd=ROOT, **settings):
            for attempt in range(ATTEMPTS):  # a busy machine sends too few requests for a rate of five seconds
                await asyncio.gather(
                    *(load(served.url, address, f"{attempt} {number}", buyer.tokens, product) for number in range(2))
                )
                await asyncio.sleep(3)
                if not (wrong := queries_without_series(server)):
                    break
    assert not wrong, "\n".join(map(str, wrong))


def queries_without_series(server: Prometheus) -> list[Asked]:
    health = {target["health"] for target in server.ask("/api/v1/targets")["activeTargets"]}
    assert health == {"up"}, server.ask("/api/v1/targets")
    rules = server.ask("/api/v1/rules")["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} == {"ok"}
    queries = [*queries_of_dashboards(), *queries_of_alerts(rules)]
    queries = [one for one in queries if "restwell_events_" not in one.expression]  # the shop has no consumers
    assert len(queries) > 50
    stored = {re.sub("_(bucket|count|sum)$", "", name) for name in server.ask("/api/v1/label/__name__/values")}
    documented = {*re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)}
    assert {name for name in stored if name.startswith("restwell_")} <= documented
    return [
        asked for asked in queries if not any(asked.labels <= one.keys() for one in server.series(asked.expression))
    ]
