"""The identity providers of ``OAUTH_PROVIDERS``."""

import asyncio

import pytest

from restwell.auth.oauth import AuthorizationFlows, Providers, ProviderUnavailable
from restwell.auth.oauth._facebook import Facebook
from restwell.auth.oauth._github import GitHub
from restwell.auth.oauth._openid import OpenIdProvider
from restwell.auth.oauth._provider import Client
from restwell.errors import NotFound


async def test_providers_are_configured_by_name_with_an_encoded_secret() -> None:
    """Breaks when the secret is not decoded: no secret with an @, a colon or a percent sign would work."""
    providers = Providers(
        [
            "github=https://id:secret@github.com",
            "facebook=https://id:secret@facebook.com",
            "okta=https://sh%40op:s%3Ae%2Fc%25@id.example:8443/realms/shop",
        ]
    )
    kinds = {name: type(providers.get(name)) for name in providers.names}
    assert kinds == {"github": GitHub, "facebook": Facebook, "okta": OpenIdProvider}
    assert providers.get("okta").client == Client("okta", "sh@op", "s:e/c%", "https://id.example:8443/realms/shop")
    with pytest.raises(NotFound, match="Available: github, facebook, okta"):
        providers.get("google")
    await providers.close()


async def test_without_providers_each_name_is_unknown() -> None:
    providers = Providers([])
    with pytest.raises(NotFound, match="Available: none"):
        providers.get("github")
    await providers.close()


async def test_a_cookie_of_a_provider_is_not_sent_with_the_next_sign_in() -> None:
    """Breaks with a client that stores cookies: the session of one user would be sent for another."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(
            b"HTTP/1.1 503 No\r\nset-cookie: user=ada; path=/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        providers = Providers([f"okta=http://shop:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"])
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                await providers.get("okta").authorization_url(AuthorizationFlows(b"key").start("okta"), "https://a/b")
        await providers.close()
    assert len(requests) == 2
    assert b"cookie" not in requests[1].lower()
