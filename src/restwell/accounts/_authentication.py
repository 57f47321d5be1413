"""Resolves an access token or an API key to an actor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from restwell.accounts._sessions.service import SessionService
from restwell.auth import AccessTokens, Actor, Claims
from restwell.errors import Unauthorized
from restwell.web import TokenScheme
from restwell.web._authentication import API_KEY_SCHEME


class MachineTokens(ABC):
    """A service that knows machine clients."""

    @abstractmethod
    async def get_actor(self, claims: Claims) -> Actor:
        """Return the client of an access token. Raises Unauthorized for a revoked client."""


class KeyTokens(ABC):
    """A service that knows API keys, all of which begin with ``prefix``. No access token does."""

    prefix: str

    @abstractmethod
    async def get_actor(self, key: str) -> Actor:
        """Return the user of the key, with its scopes. Raises Unauthorized for a key that is not valid."""


class Authentication(TokenScheme):
    """A user in a session, an API key, or a machine client."""

    def __init__(
        self,
        access_tokens: AccessTokens,
        sessions: SessionService,
        machines: Sequence[MachineTokens],
        keys: Sequence[KeyTokens],
    ) -> None:
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._machines = machines
        self._keys = next(iter(keys), None)
        super().__init__(self.get_actor, session_cookies=True)
        if self._keys is not None:
            description = f"An API key (`{self._keys.prefix}...`), instead of an access token."
            key = {"type": "http", "scheme": "bearer", "description": description}
            self.security = {**self.security, API_KEY_SCHEME: key}

    async def get_actor(self, token: str) -> Actor:
        """Return the actor with its current role or scopes.

        Raises Unauthorized for an invalid token, a revoked session, key or client.
        """
        if self._keys is not None and token.startswith(self._keys.prefix):
            return await self._keys.get_actor(token)
        claims = self._access_tokens.verify(token)
        if claims.sid is not None:
            return await self._sessions.get_actor(claims, claims.sid)
        for machines in self._machines:
            return await machines.get_actor(claims)
        raise Unauthorized("The client is revoked.")
