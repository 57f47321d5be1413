"""Mail through a real SMTP server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mail_server import PASSWORD, USER, mail_server, make_certificate
from restwell.mail import Mail, Mailer, MailFailed, MailRefused, SmtpMailer, open_mailer, render_mail
from servers import free_port

MAIL = Mail(
    to="ada@example.com",
    to_name="Ada Löwe, Countess",
    subject="Grüße",
    text="Hello\n.\nand on",  # a line with only a dot ends an SMTP message unless it is escaped
    html="<p>Hello</p>",
    key="0192f0c1",
)
# aiosmtpd does not recognize implicit TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def mailer(url: str) -> Mailer:
    return SmtpMailer(url, "The Shop <shop@shop.example>")


@pytest.mark.parametrize("starts_tls", [False, True], ids=["tls", "starttls"])
async def test_a_mail_is_delivered_over_tls_with_a_login(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, *, starts_tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate, starts_tls=starts_tls) as server:
        url = f"{'smtp' if starts_tls else 'smtps'}://{LOGIN}@localhost:{server.port}"
        await mailer(url).send(MAIL)
        with pytest.raises(MailFailed, match="535"):
            await mailer(url.replace(LOGIN, f"{USER}:wrong")).send(MAIL)
    (mail,) = server.mails
    assert server.encrypted == [True]
    (to,) = mail["To"].addresses
    assert mail["From"] == "The Shop <shop@shop.example>"
    assert (to.display_name, to.addr_spec) == ("Ada Löwe, Countess", "ada@example.com")
    assert (mail["Subject"], mail["Message-ID"]) == ("Grüße", "<0192f0c1@shop.example>")
    assert abs(datetime.now(UTC) - mail["Date"].datetime) < timedelta(minutes=1)
    text, html = mail.iter_parts()
    assert mail.get_content_type() == "multipart/alternative"
    assert text.get_content().replace("\r\n", "\n") == "Hello\n.\nand on"
    assert html.get_content().strip() == "<p>Hello</p>"


async def test_a_server_with_an_untrusted_certificate_gets_no_password(certificate: Path) -> None:
    """Breaks if the certificate is not verified."""
    with mail_server(certificate) as server, pytest.raises(MailFailed, match=r"(?i)certificate"):
        await mailer(f"smtps://{LOGIN}@localhost:{server.port}").send(MAIL)
    assert server.mails == []


async def test_a_mail_is_sent_without_tls_only_with_the_plain_url_scheme() -> None:
    """Breaks with opportunistic STARTTLS: a man in the middle can remove the offer."""
    with mail_server(None) as server:
        with pytest.raises(MailFailed, match="STARTTLS"):
            await mailer(f"smtp://localhost:{server.port}").send(MAIL)
        assert server.mails == []
        await mailer(f"smtp+plain://localhost:{server.port}").send(MAIL)
    assert len(server.mails) == 1


async def test_permanent_and_transient_rejections_raise_different_errors() -> None:
    with mail_server(None) as server:
        server.unknown = {"nobody@example.com"}
        plain = mailer(f"smtp+plain://localhost:{server.port}")
        with pytest.raises(MailRefused, match="No such mailbox"):
            await plain.send(Mail("nobody@example.com", "", "s", "t", "h", "k"))
        server.busy = True
        with pytest.raises(MailFailed, match="Try again later"):
            await plain.send(MAIL)
    with pytest.raises(MailFailed, match=str(server.port)):
        await plain.send(MAIL)
    with pytest.raises(MailFailed):
        await mailer(f"smtps://localhost:{free_port()}").send(MAIL)


async def test_mails_are_written_to_files_without_an_smtp_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await open_mailer(None, "s@shop.example").send(MAIL)
    assert b"Message-ID: <0192f0c1@shop.example>" in (tmp_path / "var/mail/0192f0c1.eml").read_bytes()
    assert isinstance(open_mailer("smtp://localhost", "s@shop.example"), SmtpMailer)


def rendered(**changed: Any) -> Mail:
    given = {"to": "ada@example.com", "subject": "Grüße", "paragraphs": ["One <b>", "Two & three"], "key": "0192f0c1"}
    return render_mail(**given | changed)


def test_a_rendered_mail_has_the_same_content_as_text_and_as_escaped_html() -> None:
    """Breaks if a paragraph, a cell, the greeting or the signature is not escaped."""
    table = [["1 x", "<i>"], ["Total", "5 & 6"]]
    mail = rendered(table=table, greeting="Hallo <a>,", signature="<The shop>", language="de")
    assert mail.text == "Hallo <a>,\n\nOne <b>\n\nTwo & three\n\n1 x  <i>\nTotal  5 & 6\n\n<The shop>\n"
    assert mail.html == (
        '<!doctype html><html lang="de"><body>'
        "<p>Hallo &lt;a&gt;,</p><p>One &lt;b&gt;</p><p>Two &amp; three</p>"
        "<table><tr><td>1 x</td><td>&lt;i&gt;</td></tr><tr><td>Total</td><td>5 &amp; 6</td></tr></table>"
        "<p>&lt;The shop&gt;</p></body></html>"
    )


def test_a_rendered_mail_needs_no_table_and_no_signature_and_names_no_recipient() -> None:
    mail = rendered(paragraphs=["One."])
    assert (mail.to, mail.to_name, mail.subject, mail.key) == ("ada@example.com", "", "Grüße", "0192f0c1")
    assert mail.text == "Hello,\n\nOne.\n"
    assert mail.html == '<!doctype html><html lang="en"><body><p>Hello,</p><p>One.</p></body></html>'
    assert 'lang="&quot;"' in rendered(language='"').html


async def test_a_reader_of_the_folder_sees_only_whole_mails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if the file is written in place."""
    write_bytes = Path.write_bytes
    seen: list[Path] = []

    def write_in_two_parts(file: Path, content: bytes) -> int:
        write_bytes(file, content[:10])
        seen.extend(tmp_path.glob("*.eml"))
        return write_bytes(file, content)

    monkeypatch.setattr(Path, "write_bytes", write_in_two_parts)
    await open_mailer(f"folder:{tmp_path}", "s@shop.example").send(MAIL)
    assert seen == []
    assert [file.name for file in tmp_path.iterdir()] == ["0192f0c1.eml"]
