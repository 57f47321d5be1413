"""HTTP of signing in elsewhere."""

from typing import Any

from restwell.auth import Actor
from restwell.auth.oauth import InvalidSignIn, ProviderUnavailable, SignInRefused
from restwell.auth.oauth.state import FLOW_TTL_SECONDS
from restwell.errors import AppError, NotFound
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    Response,
    ResponseSpec,
    client_info,
    delete,
    get,
    post,
    signed_in,
)
from restwell.web.session_cookies import OAUTH_STATE_COOKIE, oauth_state_cookie, session_cookies
from shop.identities.schemas import (
    AuthorizationParameters,
    AuthorizationUrl,
    IdentityProvider,
    IdentityProviderList,
    LinkedIdentityList,
    OAuthCallback,
)
from shop.identities.service import AccountExists, IdentityService, IdentityTaken, LastCredential
from shop.sessions.schemas import CookieTokens


class SignInController(Controller):
    path = "/identities"
    tags = ["Sessions"]
    identities: IdentityService

    @get()
    async def list_identity_providers(self) -> IdentityProviderList:
        """List where else one may sign in with an account of."""
        names = self.identities.providers
        return IdentityProviderList([IdentityProvider(name, f"/v1/identities/{name}/sign-in") for name in names])

    @get(
        "/{provider:str}/sign-in",
        status_code=303,
        errors=[NotFound, ProviderUnavailable],
    )
    async def start_oauth_sign_in(
        self, provider: FromPath[str], filters: Inject[AuthorizationParameters]
    ) -> Response[None]:
        """Sign in elsewhere: send the browser here.

        It goes on to the provider, comes back with its session in cookies, and goes to `return_to`.
        """
        flow, url = await self.identities.begin(provider, return_to=filters.return_to)
        return _to(url, oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS))

    @get(
        "/{provider:str}/callback",
        responses={303: ResponseSpec(None, description="To `return_to`, if the sign-in was begun with one.")},
        query_budget={"security_events.insert": 3},
        errors=[NotFound, InvalidSignIn, SignInRefused, AccountExists, IdentityTaken, ProviderUnavailable],
    )
    async def complete_oauth_sign_in(
        self, request: ApiRequest, provider: FromPath[str], filters: Inject[OAuthCallback]
    ) -> Response[CookieTokens]:
        """Come back from a provider.

        For browsers that a provider sends here, and nobody else.
        """
        flow = self.identities.resume(provider, request.cookies.get(OAUTH_STATE_COOKIE, ""), filters)
        spent = oauth_state_cookie("", 0)
        try:
            signed_in_now = await self.identities.finish(flow, filters, client_info(request))
        except AppError as error:
            location = flow.location(error.code)
            if location is None:
                raise
            return _to(location, spent)
        cookies, seconds = [spent], 0
        if signed_in_now is not None:
            _, tokens = signed_in_now
            seconds = tokens.expires_in
            cookies += session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=seconds)
        if (location := flow.location()) is not None:
            return _to(location, *cookies)
        return Response(CookieTokens(seconds), cookies=cookies)


class IdentityController(Controller):
    path = "/users/me/identities"
    tags = ["Users"]
    guards = [signed_in]
    identities: IdentityService

    @get()
    async def list_linked_identities(self, actor: Inject[Actor]) -> LinkedIdentityList:
        """List the accounts elsewhere that you sign in with."""
        return LinkedIdentityList(await self.identities.list_identities(actor))

    @post("/{provider:str}", status_code=200, errors=[NotFound, ProviderUnavailable])
    async def link_identity(
        self, provider: FromPath[str], actor: Inject[Actor], filters: Inject[AuthorizationParameters]
    ) -> Response[AuthorizationUrl]:
        """Add an account elsewhere that you sign in with.

        Send the browser to the `url`. A mail tells you when it is done.
        """
        flow, url = await self.identities.begin(provider, return_to=filters.return_to, user_id=actor.id)
        return Response(AuthorizationUrl(url), cookies=[oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS)])

    @delete("/{provider:str}", errors=[LastCredential])
    async def unlink_identity(self, provider: FromPath[str], actor: Inject[Actor]) -> None:
        """Remove an account elsewhere.

        Unless it is the last way in that you have.
        """
        await self.identities.unlink(actor, provider)


def _to(url: str, *cookies: Any) -> Response[Any]:
    return Response(None, status_code=303, headers={"location": url}, cookies=cookies)
