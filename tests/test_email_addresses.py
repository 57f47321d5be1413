"""Parsing of email addresses, their canonical form, and fields of this type."""

import subprocess
import sys
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restwell._email_addresses import EmailAddress, mailbox, parse_mailbox
from restwell.errors import FieldError, Invalid
from restwell.web._decoding import decode_body, decode_form

CANONICAL = {
    "Ada@Example.COM": "ada@example.com",
    "o'brien+tag@example.com": "o'brien+tag@example.com",
    "!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com",
    "a@shop.example": "a@shop.example",
    "a@shop.test": "a@shop.test",
    "a@bücher.example": "a@xn--bcher-kva.example",
    "a@BU\u0308CHER.example": "a@xn--bcher-kva.example",
    "A@XN--Bcher-KVA.example": "a@xn--bcher-kva.example",
    "a@\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.com": "a@example.com",
    "a@example\u3002com": "a@example.com",
    "a@faß.example": "a@xn--fa-hia.example",
    "a" * 64 + "@example.com": "a" * 64 + "@example.com",
}
REJECTED = [
    *("v(c)@example.com", "v@evil.example(.shop.example)", "(c)v@example.com", "<a@b.example>", "Ada <a@b.example>"),
    *("a,b@example.com", "a@b.example,c@d.example", "a;b@example.com", "a@b..example", ".a@b.example", "a.@b.example"),
    *(
        "a..b@c.example",
        "a@.b.example",
        "a@b.example.",
        "a@b@c.example",
        "a@",
        "@b.example",
        "@",
        "",
        "a",
        "a b@c.example",
    ),
    *(
        " a@b.example",
        "a@b.example ",
        "a@b.example\n",
        "a\r\n@b.example",
        "a\t@b.example",
        '"a b"@c.example',
        '"a"@c.example',
    ),
    *("a\x00@b.example", "a@b.\x00example", "\ud800@b.example", "a@\udfff.example", "a@b.example\x7f"),
    *("a\u200b@b.example", "a@b\u200b.example", "a@b\u200d.example", "\ufeffa@b.example", "a@exam\u00adple.com"),
    *("a\u202e@b.example", "a@\u202eb.example", "a@b.example\u2066", "a\u2028@b.example", "a\u00a0@b.example"),
    *(
        "é@example.com",
        "e\u0301@example.com",
        "\u017f@example.com",
        "\u212a@example.com",
        "\u0430@example.com",
        "用户@example.com",
    ),
    *(
        "a@[127.0.0.1]",
        "a@[IPv6:::1]",
        "a@127.0.0.1",
        "a@localhost",
        "a@test",
        "a@b_c.example",
        "a@-b.example",
        "a@b-.example",
    ),
    *(
        "a@b.invalid",
        "a@b.local",
        "a@b.onion",
        "a@xn--a.example",
        "a@ab--cd.example",
        "a@\u2100.example",
        "a@≠.example",
    ),
    *(
        "a\uff20b.example",
        "a" * 65 + "@b.example",
        "a@" + "b" * 64 + ".example",
        "a@" + "b." * 126 + "example",
        "a" * 300 + "@b.example",
    ),
]


class Search(msgspec.Struct, frozen=True):
    email: EmailAddress


class Invitation(msgspec.Struct, frozen=True):
    email: EmailAddress
    others: list[EmailAddress] = []


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items())
def test_every_spelling_of_an_address_has_one_canonical_form(text: str, canonical: str) -> None:
    """Breaks if the input is stored unchanged: two spellings, in NFC and NFD or in capitals, become two accounts."""
    assert EmailAddress.parse(text) == canonical
    assert EmailAddress.parse(canonical) == canonical
    assert type(EmailAddress.parse(text)) is str, "every encoder and driver accepts it"


@pytest.mark.parametrize("text", REJECTED)
def test_a_text_that_smtp_does_not_accept_as_one_address_is_rejected(text: str) -> None:
    """Breaks with a pattern like ``[^@]+@[^@]+``, which accepts most of these."""
    with pytest.raises(ValueError, match=r"\w") as raised:
        EmailAddress.parse(text)
    assert str(raised.value).isprintable()
    with pytest.raises(ValueError, match="must be an address"):
        mailbox(f"Shop <{text}>" if text != "a@localhost" else "Shop <a@localhost.>")


@pytest.mark.slow
@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.text(st.characters(exclude_categories=()), max_size=20),
)
def test_every_text_is_rejected_or_has_a_canonical_form(local: str, domain: str) -> None:
    for text in (local, f"{local}@{domain}.example", f"a@{domain}.example", f"{local}@example.com"):
        try:
            found = EmailAddress.parse(text)
        except ValueError:
            continue
        assert found.isascii()
        assert found.isprintable()
        assert found == found.lower() == EmailAddress.parse(found)
        assert not set(found) & set(' <>()[]\\,;:"')
        assert found.count("@") == 1


@pytest.mark.parametrize(
    "text",
    [
        "x" * 2**20,
        "a@" + "x" * 2**20,
        "a." * 2**19 + "@b.example",
        "<" * 254,
        "a@" + "ü" * 252,
        "a@" + "xn--" * 62,
        "\u0338" * 254,
        '"\\' * 127,
    ],
)
def test_the_most_expensive_text_is_rejected_quickly(text: str) -> None:
    """Breaks if the length is checked late: the parser takes 0.6 s for a text as long as the body limit allows."""
    EmailAddress.preload()
    started = time.process_time()
    with pytest.raises(ValueError, match=r"\w"):
        EmailAddress.parse(text)
    assert time.process_time() - started < 0.05


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ('{"email": "a@b..example"}', FieldError("$.email", "An email address cannot have two periods in a row")),
        ('{"email": 3}', FieldError("$.email", "Expected `str`, got `int`")),
        ('{"email": null}', FieldError("$.email", "Expected `str`, got `null`")),
        (
            '{"email": "a@b.example", "others": ["a@b.example", "b"]}',
            FieldError("$.others[1]", "An email address must have an @-sign"),
        ),
    ],
)
def test_an_invalid_address_in_a_field_names_the_field(raw: str, fault: FieldError) -> None:
    with pytest.raises(Invalid) as raised:
        decode_body(raw.encode(), Invitation)
    assert raised.value.errors == [fault]


def test_an_address_field_is_canonical_in_bodies_and_in_queries() -> None:
    body = decode_body(b'{"email": "A@B\xc3\xbcCHER.example", "others": ["C@D.example"]}', Invitation)
    assert body == Invitation(EmailAddress("a@xn--bcher-kva.example"), [EmailAddress("c@d.example")])
    assert decode_form(b"email=A@B.example", Search) == Search(EmailAddress("a@b.example"))
    assert msgspec.json.decode(msgspec.json.encode(body))["email"] == "a@xn--bcher-kva.example"


def test_a_mailbox_has_a_display_name_or_none() -> None:
    """Breaks if the display name is decoded."""
    assert parse_mailbox(' "The Shop" <Shop@Bücher.example> ') == ("The Shop", "shop@xn--bcher-kva.example")
    assert parse_mailbox("no-reply@localhost") == ("", "no-reply@localhost")
    assert parse_mailbox("=?utf-8?q?x?= <a@b.example>") == ("=?utf-8?q?x?=", "a@b.example")
    assert mailbox("a@b.example") == "a@b.example"


@pytest.mark.slow
def test_the_address_parser_is_imported_on_demand() -> None:
    """Breaks if the parser is imported at startup, or if the DNS library is imported. The subprocess asserts both."""
    code = (
        "import sys, restwell.settings\n"
        "assert 'email_validator' not in sys.modules\n"
        "from restwell.email_addresses import EmailAddress\n"
        "EmailAddress.preload()\n"
        "assert 'idna.uts46data' in sys.modules and 'dns' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
