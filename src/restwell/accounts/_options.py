"""What an application decides about its accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from restwell.accounts._languages import Languages
from restwell.accounts._profiles import Profiles
from restwell.accounts._user_directory import UserDirectory
from restwell.accounts._users.schemas import User
from restwell.auth import PasswordPolicy

Registration = Literal["open", "invitation", "closed"]


@dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """The arguments of ``Accounts`` that its services need."""

    roles: type[StrEnum]
    default_role: StrEnum
    admin_role: StrEnum
    scopes: Mapping[str, str]
    api_key_prefix: str
    registration: Registration
    by_password: bool
    directory: UserDirectory | type[UserDirectory] | None
    languages: Languages
    password_policy: PasswordPolicy
    profiles: Profiles | None
    user: type[User]
    """The type of accounts in services."""
    types: Mapping[type, type]

    @property
    def has_own_fields(self) -> bool:
        """Whether accounts have fields that users set, beside those of every account."""
        return self.profiles is not None or self.languages.are_several

    def __post_init__(self) -> None:
        for name in ("default_role", "admin_role"):
            if not isinstance(getattr(self, name), self.roles):
                raise TypeError(f"Accounts: {name} must be a member of {self.roles.__name__}")
        if not isinstance(self.password_policy, PasswordPolicy):
            raise TypeError("Accounts: password_policy must be a PasswordPolicy, as in password_policy=OwnPolicy()")
        if self.scopes:
            _check_scopes(self.scopes)


def _check_scopes(scopes: Mapping[str, str]) -> None:
    kind = type(next(iter(scopes)))
    if not issubclass(kind, StrEnum) or not all(isinstance(scope, kind) for scope in scopes):
        raise TypeError("Accounts: the keys of scopes must be the members of one StrEnum")
    if missing := sorted(kind.__members__.values() - scopes.keys()):
        raise TypeError(f"Accounts: scopes has no description of {', '.join(missing)}")
