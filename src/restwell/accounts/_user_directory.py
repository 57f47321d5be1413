"""What an application implements whose users are in another store, such as LDAP or a table of its own."""

from typing import Protocol
from uuid import UUID

from msgspec import Struct

from restwell.errors import ServiceUnavailable


class DirectoryUnavailable(ServiceUnavailable):
    code, message = "directory_unavailable", "The user directory is unavailable. Try again shortly."


class DirectoryUser(Struct, frozen=True):
    """A user of a directory. ``role`` is one of the application's.

    ``id`` never changes. A key that is no UUID becomes one with ``uuid5(NAMESPACE, key)``, of a fixed namespace. Store
    it beside the key, so that ``find`` can search for it.
    """

    id: UUID
    email: str
    name: str
    role: str
    active: bool = True


class UserDirectory(Protocol):
    """Another store of users and their passwords: ``Accounts(directory=...)``.

    It must not block the event loop. After 5 seconds, and for each exception, sign-in, refresh and requests
    with API keys respond with a 503.
    """

    async def authenticate(self, email: str, password: str) -> DirectoryUser | None:
        """Return the user with this address and password, or None.

        The password is never empty: an LDAP bind with an empty one succeeds without authentication. An unknown user
        should take as long as a wrong password. Must accept the address of the users that it returns.
        """

    async def find(self, user_id: UUID) -> DirectoryUser | None:
        """Return the user with this id, or None.

        Called at each refresh of a session, and for the user of an API key as often as an access token expires.
        """
