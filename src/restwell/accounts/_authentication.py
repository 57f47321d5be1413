"""Resolves an access token to an actor."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from restwell.accounts._sessions.service import SessionService
from restwell.auth import AccessTokens, Actor, Claims
from restwell.errors import Unauthorized


class MachineTokens(ABC):
    """A service that knows machine clients."""

    @abstractmethod
    async def get_actor(self, claims: Claims) -> Actor:
        """Return the client of an access token. Raises Unauthorized for a revoked client."""


class Authentication:
    """A user in a session, or a machine client."""

    def __init__(
        self, access_tokens: AccessTokens, sessions: SessionService, machines: Sequence[MachineTokens]
    ) -> None:
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._machines = machines

    async def __call__(self, access_token: str) -> Actor:
        """Return the actor with its current role or scopes.

        Raises Unauthorized for an invalid token, a revoked session or a revoked client.
        """
        claims = self._access_tokens.verify(access_token)
        if claims.sid is not None:
            return await self._sessions.get_actor(claims, claims.sid)
        for machines in self._machines:
            return await machines.get_actor(claims)
        raise Unauthorized("The client is revoked.")
