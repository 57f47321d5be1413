from typing import Annotated, Any

from restwell.accounts._api_keys import queries
from restwell.accounts._api_keys.jobs import send_api_key_created
from restwell.accounts._api_keys.routes import ApiKeyController, ApiKeyCreationController
from restwell.accounts._api_keys.schemas import SCOPES_META, ApiKeyCreateRequest
from restwell.accounts._api_keys.service import ApiKeyService
from restwell.accounts._api_keys.tokens import ApiKeyFormat
from restwell.accounts._core import MIGRATIONS
from restwell.accounts._options import AccountOptions
from restwell.accounts._types import with_fields
from restwell.web import Controller, Feature


def api_keys(options: AccountOptions) -> Feature:
    scope: Any = type(next(iter(options.scopes)))
    request: type = ApiKeyCreateRequest
    creation: type[Controller] = ApiKeyCreationController
    if options.by_password:
        from restwell.accounts._api_keys import with_password  # noqa: PLC0415  # loaded only if used

        request = with_password.ApiKeyCreateRequestWithPassword
        creation = with_password.ApiKeyCreationWithPasswordController
    return Feature(
        controllers=[ApiKeyController, creation],
        services=[ApiKeyFormat(options.api_key_prefix), ApiKeyService],
        jobs=[send_api_key_created],
        queries=[queries],
        migrations={"accounts_api_keys": MIGRATIONS / "accounts_api_keys"},
        types={request: with_fields(request, ("scopes", Annotated[list[scope], SCOPES_META]))},
    )
