"""The application's own roles in the schemas of accounts."""

from typing import Any

import msgspec
import pytest

from accounts_app import Role
from restwell.accounts import AccountEmails, User
from restwell.accounts._clients.schemas import OAuthClientCreateRequest
from restwell.accounts._languages import Languages
from restwell.accounts._types import account_types, with_fields


def test_the_schemas_have_the_roles_of_the_application_at_the_place_of_the_declared_field() -> None:
    """Breaks when a field is added at the end: the order of members in responses would change."""
    kind: Any = account_types(Role, User, Languages(AccountEmails()), None)[User]
    assert [field.name for field in msgspec.structs.fields(kind)] == [
        field.name for field in msgspec.structs.fields(User)
    ]
    assert next(field.type for field in msgspec.structs.fields(kind) if field.name == "role") is Role


def test_a_schema_with_other_fields_is_immutable_and_rejects_unknown_ones_as_before() -> None:
    """Breaks with ``forbid_unknown_fields=False``: a misspelt field would be ignored."""
    kind: Any = with_fields(OAuthClientCreateRequest, ("scopes", list[Role]))
    right = {"name": "Reader", "scopes": ["member"]}
    made = msgspec.convert(right, kind)
    with pytest.raises(AttributeError, match="immutable"):
        made.scopes = []
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({**right, "scope": "all"}, kind)
