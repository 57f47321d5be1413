"""What every application with accounts has."""

import pytest

from accounts_app import Role, Scope, create_app
from restwell.settings import Settings
from restwell.testing import access_table


@pytest.mark.parametrize(("scope", "rule"), [(None, "signed in"), (Scope.EVENTS_READ, "signed in, scope events:read")])
def test_machine_clients_see_security_events_only_with_a_scope_for_it(scope: Scope | None, rule: str) -> None:
    """Breaks when the guard has a scope by default: a client of the application could list the events of all users."""
    lines = access_table(create_app(Settings(), events_scope=scope)).splitlines()
    (line,) = [line for line in lines if "/v1/security-events" in line]
    assert line.split(maxsplit=2) == ["GET", "/v1/security-events", rule]


def test_the_admin_role_of_the_application_administers_users() -> None:
    """Breaks when the guard has a fixed role."""
    lines = access_table(create_app(Settings(), admin_role=Role.MEMBER)).splitlines()
    guards = {line.split(maxsplit=2)[2] for line in lines if "/v1/users/{user_id}" in line}
    assert guards == {"member"}
