"""The mails that an application has sent, and the codes in them."""

import asyncio
from pathlib import Path

import pytest

from restwell.mail import Mail, open_mailer
from restwell.testing import MailBox, find_code

CODE = "-Zq3Jx0yB_1aW7hXkq9PzA5vTn2LmC4d"


@pytest.fixture
def mail_box(tmp_path: Path) -> MailBox:
    return MailBox(tmp_path / "mails")


async def send(mail_box: MailBox, to: str, subject: str, text: str = "text") -> None:
    mailer = open_mailer(mail_box.smtp_url, "Shop <shop@shop.example>")
    await mailer.send(Mail(to, "Ada Löwe", subject, text, f"<p>{text}</p>", key=f"{subject[0]}{len(mail_box.mails)}"))


async def test_a_mail_has_its_address_subject_texts_and_code(mail_box: MailBox) -> None:
    await send(mail_box, "ada@example.com", "Grüße", f"Your code:\n\n{CODE}\nBye")
    (mail,) = mail_box.mails
    assert (mail.to, mail.subject, mail.code) == ("ada@example.com", "Grüße", CODE)
    assert mail.text.splitlines() == ["Your code:", "", CODE, "Bye"]
    assert mail.html.startswith("<p>Your code:")
    assert mail.message["From"] == "Shop <shop@shop.example>"


async def test_each_mail_is_returned_once_to_the_one_who_waits_for_it(mail_box: MailBox) -> None:
    """Breaks if the second wait returns the first code again, which is no longer valid."""
    waiting = asyncio.create_task(mail_box.wait_for(to="ada@example.com", subject="Reset"))
    await asyncio.sleep(0.05)
    await send(mail_box, "eve@example.com", "Reset your password")
    await send(mail_box, "ada@example.com", "Welcome")
    await send(mail_box, "ada@example.com", "Reset your password", "first")
    assert (await waiting).text.strip() == "first"
    await send(mail_box, "ada@example.com", "Reset your password", "second")
    assert (await mail_box.wait_for(to="ada@example.com", subject="Reset")).text.strip() == "second"
    assert (await mail_box.wait_for()).to == "eve@example.com"


async def test_a_missing_mail_is_an_error_with_the_mails_that_are_there(mail_box: MailBox) -> None:
    with pytest.raises(TimeoutError, match=r"no new mail to any address .*finish_jobs\(app\).* has no mail"):
        await mail_box.wait_for(seconds=0.01)
    await send(mail_box, "eve@example.com", "Welcome")
    with pytest.raises(TimeoutError, match=r"(?s)no new mail to ada@example\.com .*\n  to eve@example\.com: Welcome"):
        await mail_box.wait_for(to="ada@example.com", subject="Reset", seconds=0.01)


@pytest.mark.parametrize("text", [CODE, f"Your code is {CODE}.", f"https://shop.example/reset?code={CODE}\n({CODE})"])
def test_the_code_in_a_text_is_found(text: str) -> None:
    assert find_code(text) == CODE


@pytest.mark.parametrize(("text", "count"), [("", "no"), (f"{CODE}x", "no"), (f"{CODE} {CODE[::-1]}", "2")])
def test_a_text_without_one_code_is_an_error_that_shows_it(text: str, count: str) -> None:
    with pytest.raises(AssertionError, match=f"{count} one-time codes in the text, instead of 1:\n{text}"):
        find_code(text)
