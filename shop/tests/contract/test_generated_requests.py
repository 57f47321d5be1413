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
from contract_apps import MARK, migrate, variables
from restwell import App
from restwell.testing import ApiClient, MailBox, OpenIdProvider, contract_tests, finish_jobs
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


@pytest.fixture
def shop(tmp_path: Path, provider: OpenIdProvider) -> App:
    services = {
        "SMTP_URL": f"folder:{tmp_path}/mails",
        "OAUTH_PROVIDERS": provider.setting("okta"),
        "PAYMENTS_URL": f"fake:///{tmp_path}/payments.db",
        "PAYMENTS_WEBHOOK_SECRET": SECRET,
        "FILES_DIR": f"{tmp_path}/files",
    }
    app = create_app(ShopSettings.load(variables(tmp_path) | services))
    asyncio.run(migrate(app, demo.seed))
    return app


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


@pytest.mark.scoreboard("A7", "generated requests to the shop", MARK, backend="SQLite")
def test_no_generated_request_breaks_the_contract_of_the_shop(
    shop: App, tmp_path: Path, provider: OpenIdProvider, score: Score
) -> None:
    """Both versions; ``make test`` has the last one. Breaks if a response has a field that the document has not."""
    documents = score.size(list(shop.documents)[-1:], list(shop.documents))
    for version in shop.documents.keys() - documents:
        del shop.documents[version]  # type: ignore[attr-defined]  # it is a dict
    people = {"admin": "admin@shop.example", "member": "customer2@shop.example", "password": demo.PASSWORD}
    mail_box = MailBox(tmp_path / "mails")
    report = contract_tests(
        shop,
        sign_in=score.size([admin], [admin, customer]),
        journeys=[
            journey
            for version in documents
            for journey in (
                *account_journeys(shop, mail_box, provider, **people, version=version),
                *shop_journeys(shop, version),
            )
        ],
        rules=[operation.replace("/v1", version) for operation in RULES for version in documents],
        examples=score.size(1, 50),
        seconds=3_000,
    )
    share = 1 - len(report.never_successful) / len(report.responses)
    score.note(f"{report.cases} requests, {share:.0%} of {len(report.responses)} operations succeed")
    assert share >= 0.95, report.never_successful
