from uuid import UUID

from restwell.auth import Actor
from restwell.errors import AppError, InvalidCursor
from restwell.pages import Page, PageFilter
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    InvalidClient,
    InvalidScope,
    JSONBody,
    Response,
    UnsupportedGrantType,
    created,
    delete,
    get,
    oauth_error_response,
    paged,
    post,
    read_client_credentials,
    requires_role,
)
from shop.clients.schemas import (
    ClientCredentialsRequest,
    ClientCredentialsToken,
    OAuthClient,
    OAuthClientCreateRequest,
    OAuthClientWithSecret,
)
from shop.clients.service import ClientService
from shop.rate_limits import SIGN_IN


class ClientController(Controller):
    path = "/clients"
    tags = ["OAuth clients"]
    guards = [requires_role("admin")]
    clients: ClientService

    @post()
    async def create_client(
        self, data: JSONBody[OAuthClientCreateRequest], actor: Inject[Actor]
    ) -> Response[OAuthClientWithSecret]:
        """Create an OAuth client.

        The secret is returned only in this response. The client exchanges its id and secret for access tokens at
        `POST /v1/oauth/token`.
        """
        client = await self.clients.create(actor, data)
        return created(client, f"/v1/clients/{client.id}")

    @get(errors=[InvalidCursor])
    async def list_clients(self, request: ApiRequest, filters: Inject[PageFilter]) -> Response[Page[OAuthClient]]:
        """List OAuth clients, oldest first."""
        return paged(request, await self.clients.list_clients(filters))

    @delete("/{client_id:uuid}")
    async def revoke_client(self, client_id: FromPath[UUID], actor: Inject[Actor]) -> None:
        """Revoke an OAuth client.

        Its access tokens are rejected immediately.
        """
        await self.clients.revoke(actor, client_id)


class TokenController(Controller):
    path = "/oauth"
    tags = ["OAuth clients"]
    clients: ClientService
    exception_handlers = {AppError: oauth_error_response}

    @post("/token", status_code=200, rate_limit=SIGN_IN, errors=[InvalidClient, InvalidScope, UnsupportedGrantType])
    async def issue_client_token(
        self, request: ApiRequest, form: Inject[ClientCredentialsRequest]
    ) -> ClientCredentialsToken:
        """Issue an access token to an OAuth client.

        The client credentials grant of OAuth 2.0 (RFC 6749 section 4.4). Errors have the OAuth format (section 5.2).
        """
        client_id, secret = read_client_credentials(request, form.client_id, form.client_secret)
        if form.grant_type != "client_credentials":
            raise UnsupportedGrantType
        return await self.clients.issue(client_id, secret, form.scope)
