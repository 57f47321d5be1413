"""The providers that the settings name."""

from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from restwell.auth.oauth.facebook import Facebook
from restwell.auth.oauth.github import GitHub
from restwell.auth.oauth.openid import OpenIdProvider
from restwell.auth.oauth.provider import SECONDS, Client, Provider
from restwell.errors import NotFound

_KINDS: Final[dict[str, type[Provider]]] = {"github": GitHub, "facebook": Facebook}


class Providers:
    """By their names: ``github=https://id:secret@github.com``; all but GitHub and Facebook are found by their OpenID issuer."""

    def __init__(self, named: Iterable[str]) -> None:
        clients = [_client(one) for one in named]
        no_cookies = CookieJar(
            DefaultCookiePolicy(allowed_domains=())
        )  # one person's would be sent in another's sign-in
        self._http = httpx.AsyncClient(timeout=SECONDS, follow_redirects=False, cookies=no_cookies) if clients else None
        self._providers = {
            client.name: _KINDS.get(client.name, OpenIdProvider)(client, self._http)
            for client in clients
            if self._http is not None
        }

    @property
    def names(self) -> list[str]:
        return list(self._providers)

    def get(self, name: str) -> Provider:
        """Raises NotFound for one that is not set up."""
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound(f"There is no signing in with this provider; there is: {', '.join(self.names) or 'none'}.")
        return provider

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


def _client(named: str) -> Client:
    name, _, url = named.partition("=")
    parts = urlsplit(url)
    return Client(
        name=name,
        id=unquote(parts.username or ""),
        secret=unquote(parts.password or ""),
        url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
    )
