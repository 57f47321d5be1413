"""Who calls, as services see it."""

from uuid import UUID

from msgspec import Struct


class Actor(Struct, frozen=True):
    id: UUID
    role: str
    session_id: UUID


class Device(Struct, frozen=True):
    """What a request tells of its client. ``user_agent`` is printable and not long, and says what the client likes."""

    user_agent: str
    address: str
