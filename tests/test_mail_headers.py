"""User input in names, subjects and texts cannot add or change a header of a mail."""

import email.policy
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail_server import MailServer, mail_server
from restwell.mail import MAX_HEADER_CHARS, FolderMailer, Mail, MailRefused, SmtpMailer, open_mailer

HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"),
]
FORGED = (
    "=?utf-8?q?x=0d=0aReply-To=3a_evil=40evil.example=0d=0aSubject=3a_Account_locked=0d=0a=0d=0a"
    "Log_in_at_http=3a//evil.example?="
)
HOSTILE = [
    FORGED,
    '" <v@evil.example>, "',
    "=?utf-8?b?DQpCY2M6IGFAYi5leGFtcGxl?=",
    "=?utf-8?q?=22=3E=0aBcc=3a_a=40b.example?=  =?latin-1?q?=e9?=",
    "a\nBcc: everyone@example.com",
    "a\r\n\r\nbody",
    "a\rBcc: everyone@example.com",
    "a\u2028Bcc: a@b.example\u0085Bcc: c@d.example\x0b\x0c\x1c",
    "\ud800 a lone surrogate \udfff",
    "NUL \x00 and DEL \x7f",
    "x" * 100_000,
    "ü" * 400,
    "👩‍👩‍👧‍👦" * 80,
    "a(comment)b, c; group: d@e.example;",
    "\\",
    '"',
    "Ada Lovelace",
    "Dr. Ada  Lovelace",
    "a.",
    " ",
    "",
    "אבג \u202e דהו",
]
FRAGMENTS = st.sampled_from(
    [
        "=?utf-8?q?",
        "=?utf-8?b?",
        "?=",
        "=0d=0a",
        "\r\n",
        "\n ",
        "\r",
        "<",
        ">",
        '"',
        "\\",
        ",",
        ":",
        "@",
        " ",
        "Bcc: ",
        ".",
    ]
)
ANYTHING = st.lists(FRAGMENTS | st.text(st.characters(exclude_categories=()), max_size=40), max_size=12).map("".join)


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server(None) as started:
        yield started


def one_line(text: str) -> str:
    """The text as a header value: one line without control characters."""
    return "".join(" " if category(one) in {"Cc", "Cs", "Zl", "Zp"} else one for one in text[:MAX_HEADER_CHARS]).strip()


def lines_of(text: str) -> str:
    """The text with normalized line ends, and lone surrogates replaced."""
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


def check(raw: bytes, sent: Mail) -> None:
    """Check a message. Splits it by hand first, because a tolerant parser may hide a header."""
    head, body = raw.replace(b"\r\n", b"\n").split(b"\n\n", 1)
    assert [line.split(":")[0] for line in head.decode("ascii").split("\n") if line[0] not in " \t"] == HEADERS
    assert all(len(line) <= 78 or b"@" in line for line in raw.split(b"\r\n"))
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert body.count(b"--=_alternative") == 3
    mail = message_from_bytes(raw, policy=email.policy.compat32)
    name, address = parseaddr(str(mail["To"]))
    assert (decoded(name), address) == (one_line(sent.to_name), sent.to)
    assert decoded(str(mail["Subject"])) == one_line(sent.subject)
    assert (mail["From"], mail["Message-ID"]) == ("The Shop <shop@shop.example>", f"<{sent.key}@shop.example>")
    parts = message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default).iter_parts()
    bodies = [part.get_content().replace("\r\n", "\n") for part in parts]
    assert bodies == [lines_of(sent.text), lines_of(sent.html)]


@pytest.mark.parametrize("where", ["to_name", "subject", "text", "html"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_adds_no_header_and_arrives_unchanged(tmp_path: Path, where: str, hostile: str) -> None:
    """Breaks if a value is parsed: ``Address(display_name)`` decodes encoded words in a name, including line ends."""
    values = {"to": "v@example.com", "to_name": "V", "subject": "S", "text": "t", "html": "<p>h</p>", "key": "k"}
    mail = Mail(**{**values, where: hostile})
    await FolderMailer(tmp_path, "The Shop <shop@shop.example>").send(mail)
    check((tmp_path / "k.eml").read_bytes(), mail)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING, ANYTHING, ANYTHING)
async def test_every_text_is_sent_and_written_unchanged(
    server: MailServer, tmp_path: Path, name: str, subject: str, text: str
) -> None:
    """Breaks if a character is split between two encoded words, or if line ends are not normalized."""
    mail = Mail("v@example.com", name, subject, text, f"<p>{text}</p>", "key-1")
    await SmtpMailer(f"smtp+plain://localhost:{server.port}", "The Shop <shop@shop.example>").send(mail)
    await FolderMailer(tmp_path, "The Shop <shop@shop.example>").send(mail)
    check(server.received[-1], mail)
    check((tmp_path / "key-1.eml").read_bytes(), mail)
    assert server.envelopes[-1] == ("shop@shop.example", ["v@example.com"])


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ("v(c)@example.com", "k"),
        ("v@evil.example(.shop.example)", "k"),
        ("a@example.com\nBcc: everyone@example.com", "k"),
        ("a@example.com> ORCPT=rfc822;b@example.com", "k"),
        ("a@example.com,b@example.com", "k"),
        ("Ada <a@example.com>", "k"),
        ("a@example.com", "k>\r\nBcc: everyone@example.com"),
        ("a@example.com", "../../../tmp/k"),
        ("a@example.com", ""),
    ],
)
async def test_an_invalid_recipient_or_key_is_rejected(server: MailServer, tmp_path: Path, to: str, key: str) -> None:
    """Breaks with a lenient parser (a comment changed the recipient), or if a key is a path outside the folder."""
    before = len(server.received)
    smtp = SmtpMailer(f"smtp+plain://localhost:{server.port}", "s@shop.example")
    for mailer in (smtp, FolderMailer(tmp_path, "s@shop.example")):
        with pytest.raises(MailRefused):
            await mailer.send(Mail(to, "A", "s", "t", "h", key))
    assert len(server.received) == before
    assert list(tmp_path.iterdir()) == []


async def test_a_mail_names_its_language_and_refuses_what_is_none(tmp_path: Path) -> None:
    """Breaks without the check: a language could add headers."""
    mailer = FolderMailer(tmp_path, "s@shop.example")
    await mailer.send(Mail("a@example.com", "A", "s", "t", "h", "k", language="pt-BR"))
    assert b"\r\nContent-Language: pt-BR\r\n" in (tmp_path / "k.eml").read_bytes()
    for language in ("de\r\nBcc: everyone@example.com", "de\n", "de_DE", "d"):
        with pytest.raises(MailRefused, match="must be a tag"):
            await mailer.send(Mail("a@example.com", "A", "s", "t", "h", "k2", language=language))


async def test_an_international_domain_is_sent_in_its_ascii_form(server: MailServer) -> None:
    """Breaks if the domain is not IDNA-encoded: a relay without SMTPUTF8 rejects the mail."""
    mailer = SmtpMailer(f"smtp+plain://localhost:{server.port}", "Bücher & Söhne <laden@bücher.example>")
    await mailer.send(Mail("Ada@Bücher.example", "Ada", "s", "t", "h", "k"))
    assert server.envelopes[-1] == ("laden@xn--bcher-kva.example", ["ada@xn--bcher-kva.example"])
    sent = server.mails[-1]["From"].addresses[0]
    assert (sent.display_name, sent.addr_spec) == ("Bücher & Söhne", "laden@xn--bcher-kva.example")
    assert server.mails[-1]["Message-ID"] == "<k@xn--bcher-kva.example>"


@pytest.mark.parametrize(
    "sender",
    [
        "nobody",
        "a@b..example",
        "a(c)@b.example",
        "Shop <a@b.example>, Evil <e@evil.example>",
        "Shop\r\nBcc: x <a@b.example>",
        "Shop <a@b.example> x",
        "@b.example",
        "<>",
        "",
    ],
)
def test_an_invalid_sender_is_rejected_at_startup(sender: str) -> None:
    """Breaks if only a prefix is parsed: the rest may be a second mailbox or a header."""
    with pytest.raises(ValueError, match=r"address|name|@-sign"):
        open_mailer(None, sender)


def test_a_sender_may_have_any_display_name_or_none() -> None:
    for sender in (
        "no-reply@localhost",
        '"Shop" <a@b.example>',
        " Laden Süd <a@b.example> ",
        "=?utf-8?q?x?= <a@b.example>",
    ):
        assert isinstance(open_mailer(None, sender), FolderMailer)
