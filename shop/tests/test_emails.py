"""The shop's emails, which are sent by jobs after the response."""

import httpx

from mail_server import mail_server, with_mail
from restwell import App
from restwell.jobs import JobState
from restwell.testing import MailBox, finish_jobs, running
from shop.app import create_app
from shop.money import format_money
from shop.settings import ShopSettings
from shop_client import ShopClient

NEW = {"email": "Ada@Example.com", "password": "a long enough one", "name": "Ada <b>Lovelace</b>"}


async def test_a_new_user_gets_a_welcome_mail(client: httpx.AsyncClient, app: App, mail_box: MailBox) -> None:
    assert (await client.post("/v1/users", json=NEW)).status_code == 201
    assert (await client.post("/v1/users", json=NEW)).status_code == 409
    assert mail_box.mails == []
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert mail.to == "ada@example.com"
    assert mail.subject == "Welcome to the shop"
    assert "Your account is ready." in mail.text
    assert "Your account is ready." in mail.html


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
    change = {"current_password": NEW["password"], "new_password": "an entirely new one"}
    assert (await api.send("POST", "/v1/users/me/password", change)).status_code == 204
    assert (await client.post("/v1/password-resets", json={"email": "ada@example.com"})).status_code == 202
    for email in ("ada@example.com", "victim@example.com"):
        asked = {"email": email, "current_password": change["new_password"]}
        assert (await api.send("POST", "/v1/email-verifications", asked)).status_code == 202
    await finish_jobs(app)
    (to_victim,) = (mail for mail in mail_box.mails if mail.to == "victim@example.com")
    confirmed = await client.post("/v1/email-verifications/completion", json={"code": to_victim.code})
    assert confirmed.status_code == 204
    await finish_jobs(app)
    assert sorted(mail.subject.partition(" of ")[0] for mail in mail_box.mails) == [
        "Reset your password",
        "Verify your email address",
        "Verify your email address",
        "Welcome to the shop",
        "Your email address was changed",
        "Your order",
        "Your password was changed",
    ]
    for mail in mail_box.mails:
        shown = [*map(str, mail.message.values()), mail.text, mail.html]
        assert not [one for one in shown if "locked" in one or "evil" in one], mail.subject


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


async def test_a_deleted_account_gets_no_mail(client: httpx.AsyncClient, app: App, mail_box: MailBox) -> None:
    assert (await client.post("/v1/users", json=NEW)).status_code == 201
    ada = await ShopClient(client).sign_in("ada@example.com", NEW["password"])
    await ada.send("DELETE", "/v1/users/me")
    await finish_jobs(app)
    assert mail_box.mails == []


async def test_an_email_that_the_server_rejects_is_a_dead_job_without_retries(settings: ShopSettings) -> None:
    with mail_server(None) as server:
        server.unknown = {"ada@example.com"}
        app = create_app(with_mail(settings, server))
        async with running(app) as client:
            await client.post("/v1/users", json=NEW)
            await finish_jobs(app)
            (dead,) = await app.kit.jobs.list_jobs(JobState.DEAD, 5)
            (failure,) = await app.kit.jobs.failures(dead.id)
    assert (dead.name, dead.attempts) == ("send_welcome", 1)
    assert failure.error.startswith("MailRefused: ")
    assert "No such mailbox" in failure.error


async def test_a_mail_is_retried_when_the_server_is_busy(settings: ShopSettings) -> None:
    with mail_server(None) as server:
        server.busy = True
        app = create_app(with_mail(settings, server))
        async with running(app) as client:
            await client.post("/v1/users", json=NEW)
            await finish_jobs(app)
            (waiting,) = await app.kit.jobs.list_jobs(JobState.SCHEDULED, 5)
    assert (waiting.name, waiting.attempts, waiting.max_attempts) == ("send_welcome", 1, 10)


async def test_a_changed_password_is_mailed_to_the_owner(customer: ShopClient, app: App, mail_box: MailBox) -> None:
    change = {"current_password": "demo-password-2026", "new_password": "an entirely new one"}
    assert (await customer.send("POST", "/v1/users/me/password", change)).status_code == 204
    await finish_jobs(app)
    (mail,) = mail_box.mails
    assert mail.to == "customer1@shop.example"
    assert mail.subject == "Your password was changed"


async def test_the_code_from_the_mail_resets_a_password_once(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    before = await ShopClient(client).sign_in("customer1@shop.example")
    asked = [await client.post("/v1/password-resets", json={"email": email}) for email in RESET]
    assert {(answer.status_code, answer.content) for answer in asked} == {(202, asked[0].content)}
    await finish_jobs(app)
    codes = [mail.code for mail in mail_box.mails]
    assert [mail.to for mail in mail_box.mails] == ["customer1@shop.example"] * 2

    new = {"code": codes[0], "password": "an entirely new one"}
    assert (await client.post("/v1/password-resets/completion", json=new)).status_code == 204
    assert (await before.get("/v1/users/me")).status_code == 401, "all sessions are revoked"
    await ShopClient(client).sign_in("customer1@shop.example", "an entirely new one")
    for code in (codes[0], codes[1], "wrong"):
        answer = await client.post("/v1/password-resets/completion", json={**new, "code": code})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_reset_code")


async def test_a_password_reset_code_is_refused_after_half_an_hour(
    client: httpx.AsyncClient, app: App, mail_box: MailBox
) -> None:
    await client.post("/v1/password-resets", json={"email": "customer1@shop.example"})
    await finish_jobs(app)
    async with app.kit.database.transaction() as tx:
        await tx.run_script("UPDATE password_resets SET expires_at = (SELECT min(created_at) FROM users)")
    (mail,) = mail_box.mails
    late = {"code": mail.code, "password": "an entirely new one"}
    assert (await client.post("/v1/password-resets/completion", json=late)).status_code == 400


def test_an_amount_has_the_decimals_of_its_currency() -> None:
    assert format_money(12_900, "EUR") == "129.00 EUR"
    assert format_money(5, "USD") == "0.05 USD"
    assert format_money(1_234_567, "JPY") == "1,234,567 JPY"
    assert format_money(12_345, "KWD") == "12.345 KWD"


RESET = ("customer1@shop.example", "nobody@shop.example", "Customer1@Shop.example")
