from uuid import UUID

from restwell.accounts._clients.schemas import (
    ClientCredentialsRequest,
    ClientCredentialsToken,
    OAuthClient,
    OAuthClientCreateRequest,
    OAuthClientWithSecret,
)
from restwell.accounts._clients.service import ClientService
from restwell.accounts._rates import SIGN_IN
from restwell.auth import Actor
from restwell.pages import Page, PageFilter
from restwell.web import (
    OAUTH_ERRORS,
    Controller,
    InvalidClient,
    InvalidScope,
    Request,
    Response,
    UnsupportedGrantType,
    created,
    delete,
    get,
    post,
    read_client_credentials,
)


class ClientController(Controller):
    """Its guard requires the admin role of the application."""

    path = "/clients"
    tags = ["OAuth clients"]

    @post()
    async def create_client(
        self, data: OAuthClientCreateRequest, actor: Actor, clients: ClientService
    ) -> Response[OAuthClientWithSecret]:
        """Create an OAuth client.

        The secret is returned only in this response. The client exchanges its id and secret for access tokens at the
        token endpoint.
        """
        client = await clients.create(actor, data)
        return created(client, client.id)

    @get()
    async def list_clients(self, filters: PageFilter, clients: ClientService) -> Page[OAuthClient]:
        """List OAuth clients, oldest first."""
        return await clients.list_clients(filters)

    @delete("/{client_id}")
    async def revoke_client(self, client_id: UUID, actor: Actor, clients: ClientService) -> None:
        """Revoke an OAuth client.

        Its access tokens are rejected immediately.
        """
        await clients.revoke(actor, client_id)


class TokenController(Controller):
    path = "/oauth"
    tags = ["OAuth clients"]
    error_format = OAUTH_ERRORS

    @post("/token", status_code=200, rate_limit=SIGN_IN, raises=[InvalidClient, InvalidScope, UnsupportedGrantType])
    async def issue_client_token(
        self, request: Request, form: ClientCredentialsRequest, clients: ClientService
    ) -> ClientCredentialsToken:
        """Issue an access token to an OAuth client.

        The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4). Errors have the OAuth format (section 5.2).
        """
        client_id, secret = read_client_credentials(request, form.client_id, form.client_secret)
        if form.grant_type != "client_credentials":
            raise UnsupportedGrantType
        return await clients.issue(client_id, secret, form.scope)
