from restwell.accounts._identities.schemas import (
    AuthorizationParameters,
    AuthorizationUrl,
    IdentityProvider,
    IdentityProviderList,
    LinkedIdentityList,
    OAuthCallback,
)
from restwell.accounts._identities.service import AccountExists, IdentityService, IdentityTaken, LastCredential
from restwell.accounts._sessions.schemas import CookieTokens
from restwell.auth import Actor
from restwell.auth.oauth import FLOW_TTL_SECONDS, InvalidSignIn, ProviderUnavailable, SignInRefused
from restwell.errors import NotFound
from restwell.web import (
    OAUTH_STATE_COOKIE,
    Controller,
    Request,
    Response,
    client_info,
    delete,
    get,
    oauth_state_cookie,
    post,
    redirect,
    session_cookies,
    signed_in,
)


class OAuthSignInController(Controller):
    path = "/identities"
    tags = ["Sessions"]

    @get()
    async def list_identity_providers(self, request: Request, identities: IdentityService) -> IdentityProviderList:
        """List identity providers.

        To sign in with one, open its ``url`` in a browser.
        """
        names = identities.providers
        return IdentityProviderList([IdentityProvider(name, f"{request.path}/{name}/sign-in") for name in names])

    @get(
        "/{provider}/sign-in",
        status_code=303,
        raises=[NotFound, ProviderUnavailable],
    )
    async def start_oauth_sign_in(
        self, request: Request, provider: str, filters: AuthorizationParameters, identities: IdentityService
    ) -> Response[None]:
        """Start a sign-in with an identity provider.

        Navigate the browser to this URL. It redirects to the provider, then to the callback, which sets the session
        cookies and redirects to `return_to`.
        """
        flow, url = await identities.start(
            provider, _prefix(request, f"/identities/{provider}/sign-in"), return_to=filters.return_to
        )
        return redirect(url, oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS))

    @get(
        "/{provider}/callback",
        other_responses={303: "Redirect to `return_to`, if the sign-in was started with one."},
        query_budget={"security_events.insert": 4},
        raises=[NotFound, InvalidSignIn, SignInRefused, AccountExists, IdentityTaken, ProviderUnavailable],
    )
    async def complete_oauth_sign_in(
        self, request: Request, provider: str, filters: OAuthCallback, identities: IdentityService
    ) -> Response[CookieTokens] | Response[None]:
        """Complete a sign-in with an identity provider.

        The redirect URI of the OAuth authorization code flow. Clients do not call it directly.
        """
        flow = identities.resume(provider, request.cookies.get(OAUTH_STATE_COOKIE, ""), filters)
        location, tokens = await identities.complete(
            flow, _prefix(request, f"/identities/{provider}/callback"), filters, client_info(request)
        )
        cookies = [oauth_state_cookie("", 0)]
        if tokens is not None:
            cookies += session_cookies(tokens.access_token, tokens.refresh_token, access_seconds=tokens.expires_in)
        if location is not None:
            return redirect(location, *cookies)
        return Response(content=CookieTokens(tokens.expires_in if tokens is not None else 0), cookies=cookies)


class IdentityController(Controller):
    path = "/users/me/identities"
    tags = ["Users"]
    guards = [signed_in]

    @get()
    async def list_linked_identities(self, actor: Actor, identities: IdentityService) -> LinkedIdentityList:
        """List linked identity providers.

        Those with which you can sign in.
        """
        return LinkedIdentityList(await identities.list_identities(actor))

    @post("/{provider}", status_code=200, raises=[NotFound, ProviderUnavailable])
    async def link_identity(
        self,
        request: Request,
        provider: str,
        actor: Actor,
        filters: AuthorizationParameters,
        identities: IdentityService,
    ) -> Response[AuthorizationUrl]:
        """Link an identity provider.

        Returns the URL to navigate the browser to. You receive an email when the account is linked.
        """
        flow, url = await identities.start(
            provider,
            _prefix(request, f"/users/me/identities/{provider}"),
            return_to=filters.return_to,
            user_id=actor.id,
        )
        return Response(content=AuthorizationUrl(url), cookies=[oauth_state_cookie(flow.cookie, FLOW_TTL_SECONDS)])

    @delete("/{provider}", raises=[LastCredential])
    async def unlink_identity(self, provider: str, actor: Actor, identities: IdentityService) -> None:
        """Unlink an identity provider.

        The last credential of an account cannot be removed.
        """
        await identities.unlink(actor, provider)


def _prefix(request: Request, path: str) -> str:
    """The path of the API: that of the request without the path of the route."""
    return request.path.removesuffix(path)
