"""Who may call a route: the rule of its guards, its text, and what it says of each caller."""

from typing import Any

import pytest

from restwell import Restwell
from restwell.settings import Settings
from restwell.testing._access_rules import AccessRule
from restwell.web import (
    Controller,
    Request,
    Version,
    get,
    requires_role,
    signed_in,
    signed_in_or_api_key,
    signed_in_or_scope,
)
from restwell.web._guards import optional_sign_in
from tiny.app import authenticate


async def own(_: Request) -> None:
    """A guard of the application."""


class is_owner(requires_role):  # noqa: N801  # lower case like the guards of the kit
    async def __call__(self, request: Request) -> None:
        await signed_in(request)


RULES: list[tuple[list[Any], str]] = [
    ([], "anyone"),
    ([signed_in], "signed in"),
    ([signed_in_or_scope("a:read")], "signed in, scope a:read"),
    ([requires_role("owner")], "owner"),
    ([requires_role("owner", or_scope="a:read")], "owner, scope a:read"),
    ([requires_role("owner", or_scope="a"), signed_in_or_scope("b")], "owner, scope a, scope b"),
    ([signed_in, requires_role("owner", or_scope="a")], "owner"),
    ([requires_role("owner"), requires_role("guest")], "no caller"),
    ([requires_role("owner", "guest", or_scope="a")], "guest, owner, scope a"),
    ([signed_in_or_api_key("a")], "signed in, key scope a"),
    ([signed_in_or_api_key("a"), signed_in_or_scope("b")], "signed in, key scope a, key scope b"),
    ([optional_sign_in], "optional sign-in"),
    ([optional_sign_in, requires_role("owner")], "owner"),
    ([optional_sign_in, own], "optional sign-in, own guard own"),
    ([own], "own guard own"),
    ([signed_in_or_scope("a"), own], "signed in, scope a, own guard own"),
    ([is_owner("owner")], "own guard is_owner"),
]


@pytest.mark.parametrize(("guards", "text"), RULES, ids=[text for _, text in RULES])
def test_the_text_of_a_rule_says_who_passes_all_guards(tiny_settings: Settings, guards: list[Any], text: str) -> None:
    """Breaks if several guards admit whom one of them admits, or if a subclass counts as its base."""

    class Things(Controller):
        path = "/things"

        @get(guards=guards)
        async def read(self) -> str:
            """Read."""
            return ""

    app = Restwell(tiny_settings, name="things").app([Version("/v1", [Things])], authenticate=authenticate)
    rule = AccessRule.of(app.routes[0])
    assert str(rule) == text
    assert str(AccessRule.parse(text)) == text
    assert AccessRule.parse(text) == rule or rule.own_guards


A, B = frozenset({"a"}), frozenset({"b"})
CALLERS = [(role, scopes) for scopes in (None, A, B) for role in (None, "guest", "owner")]
ADMITTED: list[tuple[str, list[tuple[str | None, frozenset[str] | None]]]] = [
    ("anyone", [*CALLERS]),
    ("signed in", [("guest", None), ("owner", None)]),
    ("owner", [("owner", None)]),
    ("optional sign-in", [("guest", None), ("owner", None)]),
    ("signed in, scope a", [("guest", None), ("owner", None), (None, A), ("guest", A), ("owner", A)]),
    ("owner, scope a", [("owner", None), (None, A), ("owner", A)]),
    ("owner, key scope a", [("owner", None), ("owner", A)]),
    ("owner, scope a, scope b", [("owner", None)]),
    ("scope a", [(None, A)]),
    ("no caller", []),
]


@pytest.mark.parametrize(("text", "admitted"), ADMITTED, ids=[text for text, _ in ADMITTED])
def test_a_rule_admits_users_by_role_machines_by_scope_and_api_keys_by_both(
    text: str, admitted: list[tuple[str | None, frozenset[str] | None]]
) -> None:
    """Breaks if the scope of a key replaces the role of its user."""
    rule = AccessRule.parse(text)
    assert {caller for caller in CALLERS if rule.admits(*caller)} == set(admitted)
    assert str(rule) == text


@pytest.mark.parametrize("text", ["", "owner,", ",", "owner, , guest"])
def test_a_rule_without_text_is_an_error(text: str) -> None:
    with pytest.raises(
        ValueError, match="write who may call the route: anyone, no caller, signed in, a role, or scope x"
    ):
        AccessRule.parse(text)
