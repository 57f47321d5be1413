"""What an application decides about its accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from restwell.accounts._emails import AccountEmails
from restwell.accounts._profiles import Profiles
from restwell.accounts._users.schemas import User

Registration = Literal["open", "invitation", "closed"]


@dataclass(frozen=True, kw_only=True)
class AccountOptions:
    """The arguments of ``Accounts`` that its services need."""

    roles: type[StrEnum]
    default_role: StrEnum
    admin_role: StrEnum
    scopes: Mapping[str, str]
    registration: Registration
    emails: AccountEmails
    profiles: Profiles | None
    user: type[User]
    """The type of accounts in services."""
    types: Mapping[type, type]
