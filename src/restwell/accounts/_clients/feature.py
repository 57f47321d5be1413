from typing import Annotated, Any, Final

from restwell.accounts._clients import queries
from restwell.accounts._clients.routes import ClientController, TokenController
from restwell.accounts._clients.schemas import (
    SCOPES_META,
    OAuthClient,
    OAuthClientCreateRequest,
    OAuthClientWithSecret,
)
from restwell.accounts._clients.service import ClientService
from restwell.accounts._core import MIGRATIONS, guarded
from restwell.accounts._options import AccountOptions
from restwell.accounts._types import with_fields
from restwell.web import ClientCredentials, Feature, requires_role

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105  # a path, no token


def clients(options: AccountOptions) -> Feature:
    scope: Any = type(next(iter(options.scopes)))
    return Feature(
        controllers=[guarded(ClientController, requires_role(options.admin_role)), TokenController],
        services=[ClientService],
        queries=[queries],
        migrations={"accounts_clients": MIGRATIONS / "accounts_clients"},
        client_credentials=ClientCredentials(TOKEN_PATH, options.scopes),
        types={
            OAuthClientCreateRequest: with_fields(
                OAuthClientCreateRequest, ("scopes", Annotated[list[scope], SCOPES_META])
            ),
            OAuthClient: with_fields(OAuthClient, ("scopes", list[scope])),
            OAuthClientWithSecret: with_fields(OAuthClientWithSecret, ("scopes", list[scope])),
        },
    )
