"""Generated requests to every operation of the shop: each response is as its OpenAPI document says."""

import asyncio
import hashlib
import hmac
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from PIL import Image

from account_journeys import Journey, account_journeys
from contract_apps import MARK, assert_most_succeed, migrate, variables
from restwell import App
from restwell.testing import ApiClient, ContractReport, MailBox, OpenIdProvider, contract_tests, finish_jobs
from scoreboard import Score
from shop import demo
from shop.app import create_app
from shop.settings import ShopSettings

SECRET: Final = "whsec_of_the_shop_for_tests"
RULES: Final = {
    "POST /v1/users/me/api-keys": "a key expires in the future",
    "GET /v1/products": "a field of `fields` must exist",
    "POST /v1/orders": "a product may be in one line only",
    "POST /v1/reports": "the first day must not be after the last",
}
"""What the document cannot express, by operation of the first version."""


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with OpenIdProvider() as started:
        yield started


async def admin(caller: ApiClient) -> None:
    await caller.sign_in("admin@shop.example", demo.PASSWORD)


async def customer(caller: ApiClient) -> None:
    await caller.sign_in("customer1@shop.example", demo.PASSWORD)


def shop_journeys(app: App, version: str) -> list[Journey]:
    """Orders, images, reports, jobs and an event of the payment provider."""

    async def ids(caller: ApiClient, path: str) -> list[str]:
        page = (await caller.get(path)).json()
        return [one["id"] for one in page["items" if version == "/v1" else "data"]]

    async def orders(caller: ApiClient) -> None:
        await customer(caller)
        products = await ids(caller, f"{version}/products")
        body = {"items": [{"product_id": products[0], "quantity": 1}]}
        order = (await caller.post(f"{version}/orders", body, idempotency_key=version.strip("/"))).json()
        await caller.get(f"{version}/orders/{order['id']}")
        await caller.post(f"{version}/orders/{order['id']}/cancellation")
        event = json.dumps({"id": "evt_1", "data": {"object": {"id": "pi_1"}}}).encode()
        moment = int(time.time())
        digest = hmac.new(SECRET.encode(), f"{moment}.".encode() + event, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={moment},v1={digest}"}
        await caller.client.post(f"{version}/payments/events", content=event, headers=headers)

    async def images(caller: ApiClient) -> None:
        await admin(caller)
        products = await ids(caller, f"{version}/products")
        photograph = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(photograph, "JPEG")
        path = f"{version}/products/{products[0]}/images"
        headers = {"authorization": f"Bearer {caller.tokens['access_token']}"}
        sent = await caller.client.post(path, files={"file": ("a.jpg", photograph.getvalue())}, headers=headers)
        await finish_jobs(app)
        image = (await caller.get(f"{path}/{sent.json()['id']}")).json()
        await caller.get(path)
        await caller.get(f"{path}/{image['id']}/small")
        await caller.delete(f"{version}/products/{products[1]}", if_match="*")

    async def reports(caller: ApiClient) -> None:
        await admin(caller)
        days = {"first_day": "2026-01-01", "last_day": "2026-01-31"}
        report = (await caller.post(f"{version}/reports", days)).json()
        job = (await ids(caller, f"{version}/jobs?state=ready"))[0]
        await finish_jobs(app)
        for name in ("sales.csv", "sales.pdf"):
            await caller.get(f"{version}/reports/{report['id']}/{name}")
        await caller.get(f"{version}/jobs/{job}")
        await caller.post(f"{version}/jobs/{job}/cancellation")
        await caller.delete(f"{version}/jobs/{job}")

    return [orders, images, reports]


@pytest.mark.slow
@pytest.mark.scoreboard(
    "A7", "generated requests to the shop", f">= 10,000 requests, 20 seeds; {MARK}", backend="SQLite"
)
def test_no_generated_request_breaks_the_contract_of_the_shop(
    tmp_path: Path, provider: OpenIdProvider, score: Score
) -> None:
    """Both versions; ``make test`` has the last one. Breaks if a response has a field that the document has not.

    A seed breaks with a rule that the document cannot express, and that is not in RULES.
    """
    shop = migrated_shop(tmp_path / "shop", provider)
    for version in score.size(list(shop.documents)[:-1], []):
        del shop.documents[version]  # type: ignore[attr-defined]  # it is a dict
    report = run(shop, tmp_path / "shop", provider, score.size([admin], [admin, customer]), score.size(1, 50))
    score.note(f"{report.cases:,} requests")
    assert_most_succeed(shop, report, score)
    assert report.cases >= score.size(1_000, 10_000)
    seeds = score.size([], range(1, 20))
    cases = 0
    for seed in seeds:
        folder = tmp_path / f"seed-{seed}"
        cases += run(migrated_shop(folder, provider), folder, provider, [admin], 1, seed).cases
    score.note(f"no false alarm with {1 + len(seeds)} seeds, {cases:,} more requests")


def migrated_shop(folder: Path, provider: OpenIdProvider) -> App:
    folder.mkdir()
    services = {
        "SMTP_URL": f"folder:{folder}/mails",
        "OAUTH_PROVIDERS": provider.setting("okta"),
        "PAYMENTS_URL": f"fake:///{folder}/payments.db",
        "PAYMENTS_WEBHOOK_SECRET": SECRET,
        "FILES_DIR": f"{folder}/files",
    }
    app = create_app(ShopSettings.load(variables(folder) | services))
    asyncio.run(migrate(app, demo.seed))
    return app


def run(
    app: App, folder: Path, provider: OpenIdProvider, sign_in: list[Journey], examples: int, seed: int = 0
) -> ContractReport:
    mail_box = MailBox(folder / "mails")
    people = {"admin": "admin@shop.example", "member": "customer2@shop.example", "password": demo.PASSWORD}
    journeys = [
        journey
        for version in app.documents
        for journey in (
            *account_journeys(app, mail_box, provider, **people, version=version),
            *shop_journeys(app, version),
        )
    ]
    rules = [operation.replace("/v1", version) for operation in RULES for version in app.documents]
    return contract_tests(
        app, sign_in=sign_in, journeys=journeys, rules=rules, examples=examples, seed=seed, seconds=3_000
    )
