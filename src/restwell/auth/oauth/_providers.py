"""The identity providers configured in ``OAUTH_PROVIDERS``."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from restwell.auth._http import open_client
from restwell.auth.oauth._facebook import Facebook
from restwell.auth.oauth._github import GitHub
from restwell.auth.oauth._openid import OpenIdProvider
from restwell.auth.oauth._provider import Client, Provider
from restwell.errors import NotFound

_KINDS: Final[dict[str, type[Provider]]] = {"github": GitHub, "facebook": Facebook}


class Providers:
    """Providers by name: ``github=https://id:secret@github.com``. Every other name is an OpenID issuer."""

    def __init__(self, urls: Iterable[str]) -> None:
        clients = [_parse_client(url) for url in urls]
        self._http = open_client(keep_connections=True) if clients else None
        self._providers = {
            client.name: _KINDS.get(client.name, OpenIdProvider)(client, self._http)
            for client in clients
            if self._http is not None
        }

    @property
    def names(self) -> list[str]:
        return list(self._providers)

    def get(self, name: str) -> Provider:
        """Raises NotFound for a provider that is not configured."""
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound(f"Unknown identity provider. Available: {', '.join(self.names) or 'none'}.")
        return provider

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


def _parse_client(configured: str) -> Client:
    name, _, url = configured.partition("=")
    parts = urlsplit(url)
    return Client(
        name=name,
        id=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
        url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
    )
