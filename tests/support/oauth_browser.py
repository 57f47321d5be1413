"""A browser that signs in with an identity provider."""

from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from api_client import Json
from restwell.testing import ApiClient

NAMES: Final = ("okta", "github", "facebook")
"""The providers of the application: all are one MisbehavingProvider."""


class OAuthBrowser(ApiClient):
    async def to_provider(self, name: str = "okta", query: str = "") -> str:
        """Start a sign-in. Returns the path of the callback with its query."""
        return await self.authorize(f"/v1/identities/{name}/sign-in{query}")

    async def sign_in_with(self, name: str = "okta", query: str = "") -> httpx.Response:
        return await self.get(await self.to_provider(name, query))

    async def me(self) -> Json:
        answer = await self.get("/v1/users/me")
        assert answer.status_code == 200, answer.text
        me: Json = answer.json()
        return me


async def callback_path(url: str) -> str:
    async with httpx.AsyncClient() as outside:
        there = await outside.get(url)
    assert there.status_code == 302, there.text
    back = urlsplit(there.headers["location"])
    return f"{back.path}?{back.query}"


def changed(path: str, **changes: str | None) -> str:
    """Replace query parameters of a path. None removes one."""
    url = urlsplit(path)
    asked: dict[str, Any] = {key: values[0] for key, values in parse_qs(url.query).items()} | changes
    return f"{url.path}?{urlencode({key: value for key, value in asked.items() if value is not None})}"
