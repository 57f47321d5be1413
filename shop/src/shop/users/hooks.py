"""What other features do when an account changes, in the transaction of the change."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from restwell.database import Transaction

AccountHook = Callable[[Transaction, UUID], Awaitable[object]]
"""Called with the transaction and the id of the user."""
SessionHook = Callable[[Transaction, UUID, UUID | None], Awaitable[object]]
"""Called with the transaction, the id of the user and the session to keep, if any."""


@dataclass(frozen=True, slots=True)
class AccountHooks:
    """Services of other features add their hooks when they are built. An error in a hook rolls the change back."""

    on_registered: list[AccountHook] = field(default_factory=list)
    on_email_changed: list[AccountHook] = field(default_factory=list)
    on_password_changed: list[AccountHook] = field(default_factory=list)
    on_sessions_revoked: list[SessionHook] = field(default_factory=list)
    on_deleted: list[AccountHook] = field(default_factory=list)
