"""One caller of an API."""

import asyncio
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any, Final, Self

from restwell._extras import needs_extra

with needs_extra("testing", "restwell.testing"):
    import httpx

_REDIRECTS: Final = (302, 303, 307)
_OVERLOADED_SECONDS: Final = 0.2


class ApiClient:
    """Sends JSON with the credentials of one caller. Callers share a ``client``, but no cookies.

    ``access_token`` is any bearer token: of a session, of a machine client, or an API key. ``tokens`` is the last
    response of a token endpoint. ``cookies`` are the caller's, and ``headers`` are sent with each request.
    """

    def __init__(
        self, client: httpx.AsyncClient, access_token: str = "", *, sessions_path: str = "/v1/sessions"
    ) -> None:
        self.client = client
        self.tokens: dict[str, Any] = {"access_token": access_token} if access_token else {}
        self.cookies: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.sessions_path = sessions_path

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request. Header names have underscores instead of hyphens. Without a body, none is sent."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if access_token := self.tokens.get("access_token"):
            sent.setdefault("authorization", f"Bearer {access_token}")
        if self.cookies:
            sent.setdefault("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body is not None:
            sent.setdefault("content-type", f"application/{'merge-patch+' if method == 'PATCH' else ''}json")
        answer = await self.client.request(method, path, headers=sent, json=body)
        self._store_cookies(answer)
        return answer

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.send("POST", path, body, **headers)

    async def put(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.send("PUT", path, body, **headers)

    async def patch(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a JSON merge patch."""
        return await self.send("PATCH", path, body, **headers)

    async def delete(self, path: str, **headers: str) -> httpx.Response:
        return await self.send("DELETE", path, **headers)

    async def sign_in(self, email: str, password: str, *, cookies: bool = False, **more: object) -> Self:
        """Create a session. Its tokens are sent from now on; with ``cookies``, as a browser of the same origin.

        ``more`` are other fields of the body, as the code of a second factor. Raises AssertionError if it is rejected.
        """
        body = {"email": email, "password": password, **({"cookies": True} if cookies else {}), **more}
        if cookies:
            self.headers["sec-fetch-site"] = "same-origin"
        return await self._authenticate(self.sessions_path, body)

    async def refresh(self) -> Self:
        """Exchange the refresh token, or its cookie, for new tokens."""
        token = self.tokens.get("refresh_token")
        body = {} if token is None else {"refresh_token": token}
        return await self._authenticate(f"{self.sessions_path}/refresh", body)

    async def use_client_credentials(
        self, client_id: str, client_secret: str, *scopes: str, path: str = "/v1/oauth/token"
    ) -> Self:
        """Request an access token of a machine client (RFC 6749 4.4)."""
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        if scopes:
            form["scope"] = " ".join(scopes)
        answer = await self.client.post(path, data=form)
        self.tokens = _successful(answer).json()
        return self

    async def authorize(self, path: str) -> str:
        """Start a sign-in with an identity provider, whose first page must redirect back.

        Returns the path of the callback with its query: ``get`` it to complete the sign-in.
        """
        url = _redirected(await self.get(path))
        async with httpx.AsyncClient() as outside:
            back = httpx.URL(_redirected(await outside.get(url)))
        return back.raw_path.decode()

    async def _authenticate(self, path: str, body: object) -> Self:
        while (answer := await self.post(path, body, authorization="")).status_code == 503:
            if answer.json().get("code") != "overloaded":
                break
            await asyncio.sleep(_OVERLOADED_SECONDS)  # a busy machine rejects some requests
        tokens = _successful(answer).json()
        self.tokens = tokens if "access_token" in tokens else {}
        return self

    def _store_cookies(self, answer: httpx.Response) -> None:
        for header in answer.headers.get_list("set-cookie"):
            for name, cookie in SimpleCookie(header).items():
                self.cookies[name] = cookie.value
                if cookie["max-age"] == "0":
                    del self.cookies[name]
        self.client.cookies.clear()  # the jar of httpx is shared, and sends no Secure cookies without TLS


SignInAs = Callable[[str], Awaitable[ApiClient]]
"""Returns the client of a new user with this role, as the fixture ``sign_in_as`` does."""


def _successful(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise AssertionError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    return answer


def _redirected(answer: httpx.Response) -> str:
    if answer.status_code not in _REDIRECTS:
        raise AssertionError(f"{answer.request.url} does not redirect: {answer.status_code} {answer.text}")
    location: str = answer.headers["location"]
    return location
