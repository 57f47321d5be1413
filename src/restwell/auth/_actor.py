"""The authenticated caller and its client, as services receive them."""

from typing import Final
from uuid import UUID

from msgspec import Struct

MACHINE: Final = "machine"
"""The role of a machine client (client credentials grant). Users have other roles."""


class Actor(Struct, frozen=True):
    """A user in a session, or a machine client, which has ``scopes`` and whose ``session_id`` is its own id."""

    id: UUID
    role: str
    session_id: UUID
    scopes: frozenset[str] = frozenset()

    @property
    def is_machine(self) -> bool:
        return self.role == MACHINE


class ClientInfo(Struct, frozen=True):
    """The client of a request. ``user_agent`` is printable, at most 200 characters, and not verified."""

    user_agent: str
    ip_address: str
