import hmac
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from restwell.accounts._audit.models import SecurityEventType
from restwell.accounts._audit.service import AuditLog
from restwell.accounts._authentication import MachineTokens
from restwell.accounts._clients import queries
from restwell.accounts._clients.queries import ActiveClient, StoredClient
from restwell.accounts._clients.schemas import (
    ClientCredentialsToken,
    OAuthClient,
    OAuthClientCreateRequest,
    OAuthClientWithSecret,
)
from restwell.accounts._codes import generate_token, hash_token
from restwell.auth import MACHINE, AccessTokens, Actor, Claims
from restwell.cache import Cache
from restwell.database import Database
from restwell.errors import NotFound, Unauthorized
from restwell.ids import new_id
from restwell.pages import Cursors, Page, PageFilter
from restwell.web import InvalidClient, InvalidScope

CACHE_TTL_SECONDS: Final = 60
PREFIX: Final = "cs_"
"""Lets secret scanners recognise a leaked secret."""


class ClientService(MachineTokens):
    def __init__(
        self, database: Database, cache: Cache, access_tokens: AccessTokens, cursors: Cursors, audit: AuditLog
    ) -> None:
        self._database = database
        self._cache = cache
        self._access_tokens = access_tokens
        self._cursors = cursors
        self._audit = audit

    async def create(self, actor: Actor, draft: OAuthClientCreateRequest) -> OAuthClientWithSecret:
        """Create a client. Returns its secret, of which only a hash is stored."""
        secret = PREFIX + generate_token()
        client = OAuthClientWithSecret(new_id(), draft.name, sorted(set(draft.scopes)), datetime.now(UTC), secret)
        scopes = " ".join(client.scopes)
        async with self._database.transaction() as tx:
            await tx.run(
                queries.insert_client,
                id=client.id,
                name=client.name,
                secret_hash=hash_token(secret),
                scopes=scopes,
                created_by=actor.id,
                created_at=client.created_at,
            )
            detail = f"{client.name}: {scopes}"
            await self._audit.record(tx, SecurityEventType.CLIENT_CREATED, None, actor_id=actor.id, detail=detail)
        return client

    async def list_clients(self, filters: PageFilter) -> Page[OAuthClient]:
        """Return a page of clients that are not revoked, oldest first."""
        return (await self._cursors.fetch(self._database, queries.page, filters)).map(_to_schema)

    async def revoke(self, actor: Actor, client_id: UUID) -> None:
        """Revoke a client and all its access tokens, effective immediately on every node. Raises NotFound."""
        async with self._database.transaction() as tx:
            name = await tx.find(queries.revoke, client_id=client_id, now=datetime.now(UTC))
            if name is None:
                raise NotFound
            self._cache.invalidate(tx, _cache_key(client_id))
            await self._audit.record(tx, SecurityEventType.CLIENT_REVOKED, None, actor_id=actor.id, detail=name)

    async def issue(self, client_id: str, secret: str, requested_scope: str | None) -> ClientCredentialsToken:
        """Issue an access token. Raises InvalidClient, InvalidScope."""
        try:
            parsed_id = UUID(client_id)
        except ValueError:
            raise InvalidClient from None
        if str(parsed_id) != client_id:  # UUID() also accepts braces, prefixes and non-ASCII digits
            raise InvalidClient
        active = await self._find_active(parsed_id)
        if active is None or not hmac.compare_digest(active.secret_hash, hash_token(secret)):
            raise InvalidClient
        granted = set(active.scopes.split())
        scopes = granted if requested_scope is None else set(requested_scope.split())
        if not scopes or not scopes <= granted:
            raise InvalidScope
        token = self._access_tokens.issue_to_machine(parsed_id, scopes)
        return ClientCredentialsToken(token, self._access_tokens.ttl_seconds, " ".join(sorted(scopes)))

    async def get_actor(self, claims: Claims) -> Actor:
        active = await self._find_active(claims.sub)
        if active is None:
            raise Unauthorized("The client is revoked.")
        return Actor(claims.sub, MACHINE, claims.sub, frozenset(claims.scope.split()))

    async def _find_active(self, client_id: UUID) -> ActiveClient | None:
        key = _cache_key(client_id)
        return await self._cache.get_or_load(
            key,
            lambda: self._database.primary.find(queries.active, id=client_id),
            kind=ActiveClient | None,
            tags=[key],
            ttl_seconds=CACHE_TTL_SECONDS,
        )


def _cache_key(client_id: UUID) -> str:
    return f"client:{client_id}"


def _to_schema(row: StoredClient) -> OAuthClient:
    return OAuthClient(row.id, row.name, row.scopes.split(), row.created_at)
