"""The authenticated caller and its client, as services receive them."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

MACHINE: Final = "machine"
"""The role of a machine client (client credentials grant). Users have other roles."""


class Actor(Struct, frozen=True):
    """A user in a session; an API key; or a machine client.

    An API key has the id and the role of its user, and at least one scope. A machine client has scopes. Their
    ``session_id`` is the id of the key or of the client. ``claims``: the application's own claims of the access token,
    or all claims of a token of another issuer. Do not change them: requests with the same token share them.
    """

    id: UUID
    role: str
    session_id: UUID
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = {}

    def __hash__(self) -> int:
        return hash((self.id, self.session_id))

    @property
    def is_machine(self) -> bool:
        return self.role == MACHINE

    @property
    def is_api_key(self) -> bool:
        return bool(self.scopes) and self.role != MACHINE


class ClientInfo(Struct, frozen=True):
    """The client of a request.

    ``user_agent`` is printable, at most 200 characters, and not verified. ``accept_language`` is the header, or empty.
    """

    user_agent: str
    ip_address: str
    accept_language: str = ""
