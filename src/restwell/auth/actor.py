"""The signed-in caller, as services see it."""

from uuid import UUID

from msgspec import Struct


class Actor(Struct, frozen=True):
    id: UUID
    role: str
    session_id: UUID
