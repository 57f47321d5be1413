"""Metadata and signing keys of an issuer of tokens, discovered by its URL and cached."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import structlog
from joserfc.jwk import KeySet
from msgspec import Meta, Struct, convert

from restwell.auth._http import RequestError, request_json
from restwell.auth._jose import import_key_set

log = structlog.get_logger("restwell.auth")

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
"""Signature algorithms accepted from others. Symmetric ones are not: a verifier could also sign."""
SKEW_SECONDS: Final = 60
TTL_SECONDS: Final = 600
"""Older documents are fetched again in the background. A key that the issuer removed is accepted this long."""
MAX_AGE_SECONDS: Final = 86_400
"""Documents of an issuer that cannot be reached are used this long."""
REFRESH_SECONDS: Final = 5.0
"""Unknown keys cause at most one fetch in this time: anyone can send a token that names one."""

_CLIENT_ERROR: Final = 4
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")

Url = Annotated[str, Meta(pattern=r"^https?://[!\"$-~]{1,2000}\Z")]
"""Printable ASCII without a fragment: the URL is sent in a Location header."""


class Metadata(Struct, frozen=True, kw_only=True):
    """The part that OpenID Connect Discovery 1.0, 3 and RFC 8414, 2 have in common."""

    issuer: str
    jwks_uri: Url


M = TypeVar("M", bound=Metadata)


class IssuerUnavailable(Exception):
    """The issuer cannot be reached, or its documents are not valid. The message is for logs."""


class Documents(Struct, Generic[M], frozen=True):
    """``keys`` is the same object until the published keys change."""

    metadata: M
    key_set: Any
    keys: KeySet
    loaded_at: float


class Issuer(Generic[M]):
    """Fetches the documents on first use. All callers share one fetch, which ends no earlier if a caller is cancelled.

    After a failure the next fetch starts ``retry_seconds`` later; until then each caller gets the same failure.
    """

    def __init__(
        self,
        url: str,
        http: httpx.AsyncClient,
        kind: type[M],
        *,
        metadata_urls: Sequence[str],
        retry_seconds: float = 0.0,
    ) -> None:
        self._url = url
        self._http = http
        self._kind = kind
        self._metadata_urls = metadata_urls
        self._retry_seconds = retry_seconds
        self._documents: Documents[M] | None = None
        self._failure: str | None = None
        self._failed_at = self._refreshed_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def get(self) -> Documents[M]:
        """The documents, at most MAX_AGE_SECONDS old. Raises IssuerUnavailable."""
        now, documents = time.monotonic(), self._documents
        if documents is not None:
            age = now - documents.loaded_at
            if age < TTL_SECONDS:
                return documents
            if age < MAX_AGE_SECONDS:
                if now - self._failed_at >= self._retry_seconds:
                    self._start_fetch()
                return documents
        if self._failure is None or now - self._failed_at >= self._retry_seconds:
            await asyncio.shield(self._start_fetch())
        return self._last()

    async def refresh(self) -> Documents[M]:
        """The documents, fetched again for an unknown key unless that was done less than REFRESH_SECONDS ago.

        Raises IssuerUnavailable if the last fetch failed: it is unknown whether the key is valid.
        """
        now = time.monotonic()
        if self._fetching is None or self._fetching.done():
            if now - self._refreshed_at < REFRESH_SECONDS:
                return self._last()
            self._refreshed_at = now
        await asyncio.shield(self._start_fetch())
        return self._last()

    def _last(self) -> Documents[M]:
        if self._documents is None or self._failure is not None:
            raise IssuerUnavailable(self._failure or "")
        return self._documents

    def _start_fetch(self) -> "asyncio.Task[None]":
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            metadata = await self._fetch_metadata()
            document = await request_json(self._http, "GET", metadata.jwks_uri)
            previous = self._documents
            unchanged = previous is not None and previous.key_set == document
            keys = previous.keys if previous is not None and unchanged else import_key_set(document)
        except Exception as error:  # noqa: BLE001  # whatever it is, the documents of before stay in use
            self._failure, self._failed_at = str(error), time.monotonic()
            log.warning("issuer_unavailable", issuer=self._url, cause=self._failure)
        else:
            self._failure = None
            self._documents = Documents(metadata, document, keys, time.monotonic())

    async def _fetch_metadata(self) -> M:
        """The first metadata found. Raises RequestError; ValidationError and ValueError for invalid ones."""
        *others, last = self._metadata_urls
        for url in others:
            try:
                return self._validate(await request_json(self._http, "GET", url))
            except RequestError as error:
                if error.status is None or error.status // 100 != _CLIENT_ERROR:
                    raise
        return self._validate(await request_json(self._http, "GET", last))

    def _validate(self, body: Any) -> M:
        metadata = convert(body, self._kind)
        if metadata.issuer != self._url:  # exact comparison: Discovery 1.0, 4.3; RFC 8414 3.3
            raise ValueError(f"the metadata has another issuer: {metadata.issuer[:200]}")
        scheme = self._url.partition("://")[0]
        endpoints = [getattr(metadata, name, None) for name in _ENDPOINTS]
        if any(endpoint is not None and not endpoint.startswith(f"{scheme}://") for endpoint in endpoints):
            raise ValueError(f"the metadata has an endpoint that is not {scheme}://")
        return metadata


def openid_metadata_url(issuer: str) -> str:
    """OpenID Connect Discovery 1.0, 4."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def oauth_metadata_url(issuer: str) -> str:
    """RFC 8414 3.1: before the path."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
