"""Results that JSON has no type for."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from msgspec import Struct
from pydantic import BaseModel, Field, SecretStr

from restwell.email_addresses import EmailAddress
from restwell.web._encoding import encode_json

ID = UUID("018f0000-abcd-7000-8000-000000000001")


class Account(BaseModel):
    id: UUID
    address: str = Field(alias="emailAddress")
    password: SecretStr = SecretStr("hunter2")
    key: str = Field(default="k", exclude=True)
    balance: float = float("nan")


class Slug(str):
    __slots__ = ()


class Wrapper(Struct, frozen=True):
    accounts: list[Account]
    at: datetime
    price: Decimal


def test_a_model_is_encoded_as_pydantic_serializes_it() -> None:
    """Breaks when its attributes are encoded: excluded fields and secrets are then in the response."""
    account = Account(id=ID, emailAddress="a@b.example")
    expected = f'{{"id":"{ID}","emailAddress":"a@b.example","password":"**********","balance":null}}'
    assert encode_json(account).decode() == expected
    wrapper = Wrapper([account], datetime(2026, 1, 31, tzinfo=UTC), Decimal("1.50"))
    encoded = encode_json({"of": wrapper}).decode()
    assert encoded == f'{{"of":{{"accounts":[{expected}],"at":"2026-01-31T00:00:00Z","price":"1.50"}}}}'


def test_a_subclass_of_str_is_a_string() -> None:
    """Breaks with msgspec alone, which encodes only str."""
    assert encode_json([Slug("a"), EmailAddress.parse("Ada@example.org")]) == b'["a","ada@example.org"]'


def test_a_type_without_an_encoding_is_named() -> None:
    with pytest.raises(NotImplementedError, match="object cannot be encoded as JSON"):
        encode_json(object())
