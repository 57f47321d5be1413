from typing import Any

from restwell.auth import Actor
from restwell.auth.oauth import FLOW_TTL_SECONDS, InvalidSignIn, ProviderUnavailable, SignInRefused
from restwell.errors import NotFound
from restwell.web import (
    OAUTH_STATE_COOKIE,
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    Response,
    ResponseSpec,
    client_info,
    delete,
    get,
    oauth_state_cookie,
    post,
    session_cookies,
    signed_in,
)
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


class OAuthSignInController(Controller):
    path = "/identities"
    tags = ["Sessions"]
    identities: IdentityService

    @get()
    async def list_identity_providers(self) -> IdentityProviderList:
        """List identity providers."""
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
        """Start a sign-in with an identity provider.

        Navigate the browser to this URL. It redirects to the provider, then to the callback, which sets the session
        cookies and redirects to `return_to`.
        """
        flow, url = await self.identities.start(provider, return_to=filters.return_to)
        return _redirect(url, oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS))

    @get(
        "/{provider:str}/callback",
        responses={
            303: ResponseSpec(None, description="Redirect to `return_to`, if the sign-in was started with one.")
        },
        query_budget={"security_events.insert": 3},
        errors=[NotFound, InvalidSignIn, SignInRefused, AccountExists, IdentityTaken, ProviderUnavailable],
    )
    async def complete_oauth_sign_in(
        self, request: ApiRequest, provider: FromPath[str], filters: Inject[OAuthCallback]
    ) -> Response[CookieTokens]:
        """Complete a sign-in with an identity provider.

        The redirect URI of the OAuth authorization code flow. Clients do not call it directly.
        """
        flow = self.identities.resume(provider, request.cookies.get(OAUTH_STATE_COOKIE, ""), filters)
        location, tokens = await self.identities.complete(flow, filters, client_info(request))
        cookies = [oauth_state_cookie("", 0)]
        if tokens is not None:
            cookies += session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
        if location is not None:
            return _redirect(location, *cookies)
        return Response(CookieTokens(tokens.expires_in if tokens is not None else 0), cookies=cookies)


class IdentityController(Controller):
    path = "/users/me/identities"
    tags = ["Users"]
    guards = [signed_in]
    identities: IdentityService

    @get()
    async def list_linked_identities(self, actor: Inject[Actor]) -> LinkedIdentityList:
        """List linked identity providers."""
        return LinkedIdentityList(await self.identities.list_identities(actor))

    @post("/{provider:str}", status_code=200, errors=[NotFound, ProviderUnavailable])
    async def link_identity(
        self, provider: FromPath[str], actor: Inject[Actor], filters: Inject[AuthorizationParameters]
    ) -> Response[AuthorizationUrl]:
        """Link an identity provider.

        Returns the URL to navigate the browser to. You receive an email when the account is linked.
        """
        flow, url = await self.identities.start(provider, return_to=filters.return_to, user_id=actor.id)
        return Response(AuthorizationUrl(url), cookies=[oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS)])

    @delete("/{provider:str}", errors=[LastCredential])
    async def unlink_identity(self, provider: FromPath[str], actor: Inject[Actor]) -> None:
        """Unlink an identity provider.

        The last credential of an account cannot be removed.
        """
        await self.identities.unlink(actor, provider)


def _redirect(url: str, *cookies: Any) -> Response[Any]:
    return Response(None, status_code=303, headers={"location": url}, cookies=cookies)
