"""The emails of orders, and what the shop changes in those about accounts."""

import httpx
import pytest

from restwell import App
from restwell.testing import MailBox, finish_jobs
from shop.money import format_money
from shop_client import ShopClient

NEW = {"email": "Ada@Example.com", "password": "a long enough one", "name": "Ada <b>Lovelace</b>"}


@pytest.mark.slow
async def test_no_email_to_an_unverified_address_contains_text_of_the_requester(
    client: httpx.AsyncClient, admin: ShopClient, app: App, mail_box: MailBox
) -> None:
    """Fails if an email contains the user's name, which may be "Your account is locked, ..."."""
    registration = {**NEW, "name": "Your account is locked, go to http://evil.example"}
    assert (await client.post("/v1/users", json=registration)).status_code == 201
    api = await ShopClient(client).sign_in("ada@example.com", NEW["password"])
    draft = {"name": "Lamp", "category": "home", "price_cents": 100, "currency": "EUR", "stock": 9}
    product = (await admin.send("POST", "/v1/products", draft)).json()
    assert (await api.order("unproven", (product["id"], 1))).status_code == 201
    await finish_jobs(app)
    assert sorted(mail.subject.partition(" of ")[0] for mail in mail_box.mails) == ["Welcome to the shop", "Your order"]
    for mail in mail_box.mails:
        shown = [*map(str, mail.message.values()), mail.text, mail.html]
        assert not [one for one in shown if "locked" in one or "evil" in one], mail.subject


@pytest.mark.slow
async def test_the_confirmation_mail_lists_every_line_of_the_order(
    customer: ShopClient, admin: ShopClient, app: App, mail_box: MailBox
) -> None:
    lines = []
    for name, price in (("Lamp <b>", 12_950), ("Tent", 9_900)):
        draft = {"name": name, "category": "home", "price_cents": price, "currency": "EUR", "stock": 9}
        product = (await admin.send("POST", "/v1/products", draft)).json()
        lines.append((product["id"], 2))
    assert (await customer.order("confirm-me", *lines)).status_code == 201
    repeated = await customer.order("confirm-me", *lines)
    assert repeated.headers["idempotent-replayed"] == "true"
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert "customer1@shop.example" in mail.to
    text = mail.text
    assert "2 x  Lamp <b>  259.00 EUR" in text
    assert "2 x  Tent  198.00 EUR" in text
    assert "Total  457.00 EUR" in text
    assert "<td>Lamp &lt;b&gt;</td>" in mail.html


def test_an_amount_has_the_decimals_of_its_currency() -> None:
    assert format_money(12_900, "EUR") == "129.00 EUR"
    assert format_money(5, "USD") == "0.05 USD"
    assert format_money(1_234_567, "JPY") == "1,234,567 JPY"
    assert format_money(12_345, "KWD") == "12.345 KWD"
