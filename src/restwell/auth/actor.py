"""Who calls, as services see it."""

from typing import Final
from uuid import UUID

from msgspec import Struct

MACHINE: Final = "machine"
"""The role of a program that came by itself. Users have others."""


class Actor(Struct, frozen=True):
    """A user in a session, or a machine client, which has ``scopes`` in place of a role and is its own session."""

    id: UUID
    role: str
    session_id: UUID
    scopes: frozenset[str] = frozenset()

    @property
    def is_machine(self) -> bool:
        return self.role == MACHINE


class ClientInfo(Struct, frozen=True):
    """What a request tells of its client. ``user_agent`` is printable and not long, and says what the client likes."""

    user_agent: str
    ip_address: str
