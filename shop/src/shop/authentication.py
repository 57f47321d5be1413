"""Resolves an access token to an actor: a user in a session, or an OAuth client."""

from restwell.auth import AccessTokens, Actor
from shop.clients.service import ClientService
from shop.sessions.service import SessionService


class Authentication:
    def __init__(self, access_tokens: AccessTokens, sessions: SessionService, clients: ClientService) -> None:
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._clients = clients

    async def __call__(self, access_token: str) -> Actor:
        """Return the actor with its current role or scopes.

        Raises Unauthorized for an invalid token, a revoked session or a revoked client.
        """
        claims = self._access_tokens.verify(access_token)
        if claims.sid is None:
            return await self._clients.get_actor(claims)
        return await self._sessions.get_actor(claims, claims.sid)
