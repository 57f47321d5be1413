"""What services do when an account changes, in the transaction of the change."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from restwell.database import Transaction

AccountHook = Callable[[Transaction, UUID], Awaitable[object]]
"""Called with the transaction and the id of the user."""
SessionHook = Callable[[Transaction, UUID, UUID | None], Awaitable[object]]
"""Called with the transaction, the id of the user and the session to keep, if any."""


class AccountHooks:
    """Services append their hooks in their constructors. An error in a hook rolls the change back.

    ``on_credentials_reset``: the owner has proved control of an address that was not verified before. The account may
    have been created by an attacker (pre-hijacking), so credentials other than the password are deleted.
    ``on_sessions_revoked``: all sessions of the user are revoked, except one to keep. Not called for a single session.
    """

    def __init__(self) -> None:
        self.on_registered: list[AccountHook] = []
        self.on_email_changed: list[AccountHook] = []
        self.on_password_changed: list[AccountHook] = []
        self.on_credentials_reset: list[AccountHook] = []
        self.on_sessions_revoked: list[SessionHook] = []
        self.on_deleted: list[AccountHook] = []


async def run_hooks(hooks: list[AccountHook], tx: Transaction, user_id: UUID) -> None:
    for hook in hooks:
        await hook(tx, user_id)


async def run_session_hooks(hooks: list[SessionHook], tx: Transaction, user_id: UUID, keep: UUID | None) -> None:
    for hook in hooks:
        await hook(tx, user_id, keep)
