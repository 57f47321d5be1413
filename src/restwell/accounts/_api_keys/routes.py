from uuid import UUID

from restwell.accounts._api_keys.schemas import ApiKeyCreateRequest, ApiKeyList, ApiKeyWithSecret
from restwell.accounts._api_keys.service import ApiKeyService, TooManyApiKeys
from restwell.auth import Actor
from restwell.web import Controller, Response, created, delete, get, post, signed_in


class ApiKeyController(Controller):
    path = "/users/me/api-keys"
    tags = ["API keys"]
    guards = [signed_in]

    @get()
    async def list_api_keys(self, actor: Actor, api_keys: ApiKeyService) -> ApiKeyList:
        """List your API keys, oldest first.

        Expired keys are listed for 30 days.
        """
        return ApiKeyList(await api_keys.list_keys(actor))

    @delete("/{key_id}")
    async def revoke_api_key(self, key_id: UUID, actor: Actor, api_keys: ApiKeyService) -> None:
        """Revoke an API key.

        It is rejected immediately.
        """
        await api_keys.revoke(actor, key_id)


class ApiKeyCreationController(Controller):
    """Of an application without passwords."""

    path = "/users/me/api-keys"
    tags = ["API keys"]
    guards = [signed_in]

    @post(raises=[TooManyApiKeys])
    async def create_api_key(
        self, data: ApiKeyCreateRequest, actor: Actor, api_keys: ApiKeyService
    ) -> Response[ApiKeyWithSecret]:
        """Create an API key.

        The key is returned only in this response. Send it like an access token. It acts as you, within its scopes and
        the rights that you have at the time of the request.
        """
        key = await api_keys.create(actor, data)
        return created(key, key.id)
