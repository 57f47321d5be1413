"""Options of the accounts that contradict each other."""

from enum import StrEnum
from typing import Any, Final

import pytest

from accounts_app import SCOPES, Role, Scope
from restwell.accounts import Accounts
from restwell.auth import PasswordPolicy


class Plan(StrEnum):
    ADMIN = "administrator"


ONE_DESCRIBED: Final = {Scope.EVENTS_READ: "Read the security events of all users."}
OF_TWO_ENUMS: Final[dict[Any, str]] = {**SCOPES, Plan.ADMIN: "All."}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mfa": True, "passwords": False}, "mfa needs passwords=True"),
        ({"email_verification": True, "passwords": False}, "email_verification needs passwords=True"),
        ({"clients": True}, "clients needs scopes, a description for each scope of the application"),
        ({"roles": StrEnum("Nothing", {})}, "Nothing has no member; users need a role"),
        ({"roles": Scope}, "pass admin_role=, because Scope has no member ADMIN"),
        ({"default_role": Plan.ADMIN}, "default_role must be a member of Role"),
        ({"admin_role": "administrator"}, "admin_role must be a member of Role"),
        ({"scopes": {"notes:read": "Read all notes."}}, "the keys of scopes must be the members of one StrEnum"),
        ({"scopes": OF_TWO_ENUMS}, "the keys of scopes must be the members of one StrEnum"),
        ({"scopes": ONE_DESCRIBED}, "scopes has no description of notes:delete, notes:read"),
        (
            {"password_policy": PasswordPolicy},
            "password_policy must be a PasswordPolicy, as in password_policy=OwnPolicy()",
        ),
        ({"events_scope": Scope.EVENTS_READ}, "events_scope is events:read, which scopes does not describe"),
    ],
)
def test_contradicting_options_are_an_error_that_names_the_fix(options: dict[str, Any], message: str) -> None:
    """Fails without each check: scopes of plain text would accept clients with any scope."""
    with pytest.raises(TypeError) as raised:
        Accounts(**{"roles": Role, **options})
    assert str(raised.value) == f"Accounts: {message}"


def test_the_role_of_new_accounts_is_the_first_and_that_of_admins_is_admin() -> None:
    (options,) = (service for service in Accounts(roles=Role).services if hasattr(service, "admin_role"))
    assert (options.default_role, options.admin_role) == (Role.MEMBER, Role.ADMIN)  # type: ignore[attr-defined]
