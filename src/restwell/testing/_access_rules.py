"""Who may call a route, as text: ``signed in, scope orders:read``."""

from collections.abc import Iterable
from functools import reduce
from typing import Final, Self

from msgspec import Struct

from restwell.web import requires_role, signed_in, signed_in_or_api_key, signed_in_or_scope
from restwell.web._endpoint import Endpoint
from restwell.web._guards import guard_name, optional_sign_in

ANYONE: Final = "anyone"
NO_CALLER: Final = "no caller"
SIGNED_IN: Final = "signed in"
OPTIONAL: Final = "optional sign-in"
OWN_GUARD: Final = "own guard "
_SCOPE: Final = "scope "
_KEY_SCOPE: Final = "key scope "


class AccessRule(Struct, frozen=True):
    """The callers that pass all guards of a route.

    ``roles``: of users; None for any. ``machine_scopes`` and ``key_scopes``: all that such a caller needs; None if it
    is refused. An API key needs the role of ``roles`` too. ``optional``: requests without credentials pass.
    ``anonymous``: all requests pass.
    """

    roles: frozenset[str] | None = frozenset()
    machine_scopes: frozenset[str] | None = None
    key_scopes: frozenset[str] | None = None
    optional: bool = False
    anonymous: bool = False
    own_guards: tuple[str, ...] = ()

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The rule of the guards. What an application's own guards do is unknown; they are named."""
        if not endpoint.guards:
            return cls(roles=None, anonymous=True)
        everyone = cls(roles=None, machine_scopes=frozenset(), key_scopes=frozenset(), optional=True)
        return reduce(cls._and, map(cls._of_guard, endpoint.guards), everyone)

    @classmethod
    def _of_guard(cls, guard: object) -> Self:
        if guard is signed_in:
            return cls(roles=None)
        if guard is optional_sign_in:
            return cls(roles=None, optional=True)
        if type(guard) is signed_in_or_api_key:
            return cls(roles=None, key_scopes=frozenset({guard.scope}))
        if type(guard) is signed_in_or_scope:
            return cls(None, frozenset({guard.scope}), frozenset({guard.scope}))
        if type(guard) is requires_role:
            scopes = None if guard.scope is None else frozenset({guard.scope})
            return cls(frozenset(guard.roles), scopes, scopes)
        return cls(None, frozenset(), frozenset(), optional=True, own_guards=(guard_name(guard),))

    def _and(self, other: Self) -> Self:
        roles = [roles for roles in (self.roles, other.roles) if roles is not None]
        return type(self)(
            roles=frozenset.intersection(*roles) if roles else None,
            machine_scopes=_all_of(self.machine_scopes, other.machine_scopes),
            key_scopes=_all_of(self.key_scopes, other.key_scopes),
            optional=self.optional and other.optional,
            own_guards=(*self.own_guards, *other.own_guards),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError if the text is empty."""
        words = [word.strip() for word in text.split(",")]
        if not all(words):
            raise ValueError(f"write who may call the route: {ANYONE}, {NO_CALLER}, {SIGNED_IN}, a role, or scope x")
        scopes, key_scopes = _scopes_in(words, _SCOPE), _scopes_in(words, _KEY_SCOPE)
        roles = {word for word in words if not word.startswith((_SCOPE, _KEY_SCOPE, OWN_GUARD))} - {NO_CALLER}
        return cls(
            roles=None if roles & {SIGNED_IN, OPTIONAL, ANYONE} else frozenset(roles),
            machine_scopes=scopes,
            key_scopes=scopes if key_scopes is None else key_scopes,
            optional=OPTIONAL in roles,
            anonymous=ANYONE in roles,
            own_guards=tuple(word.removeprefix(OWN_GUARD) for word in words if word.startswith(OWN_GUARD)),
        )

    def __str__(self) -> str:
        if self.anonymous:
            return ANYONE
        words = sorted(self.roles or ())
        if self.roles is None and self.machine_scopes != frozenset():  # else all guards are own ones
            words = [OPTIONAL if self.optional else SIGNED_IN]
        words += [f"{_SCOPE}{scope}" for scope in sorted(self.machine_scopes or ())]
        if self.key_scopes != self.machine_scopes:
            words += [f"{_KEY_SCOPE}{scope}" for scope in sorted(self.key_scopes or ())]
        return ", ".join([*words, *(f"{OWN_GUARD}{name}" for name in self.own_guards)]) or NO_CALLER

    @property
    def refuses_all(self) -> bool:
        return str(self) == NO_CALLER

    def admits(self, role: str | None, scopes: frozenset[str] | None) -> bool:
        """Whether a user with the role, a machine client with the scopes, or an API key with both passes."""
        if self.anonymous:
            return True
        has_role = self.roles is None or role in self.roles
        if scopes is None:
            return role is not None and has_role
        needed = self.machine_scopes if role is None else self.key_scopes
        return needed is not None and needed <= scopes and (role is None or has_role)


def _scopes_in(words: Iterable[str], prefix: str) -> frozenset[str] | None:
    found = frozenset(word.removeprefix(prefix) for word in words if word.startswith(prefix))
    return found or None


def _all_of(some: frozenset[str] | None, others: frozenset[str] | None) -> frozenset[str] | None:
    return None if some is None or others is None else some | others
