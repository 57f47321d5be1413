"""The creation of API keys where users have passwords: it requires the current one."""

from typing import Annotated

from msgspec import Meta

from restwell.accounts._api_keys.schemas import ApiKeyCreateRequest, ApiKeyWithSecret
from restwell.accounts._api_keys.service import ApiKeyService, TooManyApiKeys
from restwell.accounts._passwords.reauthentication import Reauthentication, WrongPassword
from restwell.accounts._throttle.service import TooManyAttempts
from restwell.accounts._user_directory import DirectoryUnavailable
from restwell.auth import Actor, PasswordsBusy
from restwell.web import Controller, Response, created, post, signed_in


class ApiKeyCreateRequestWithPassword(ApiKeyCreateRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    current_password: Annotated[str, Meta(max_length=128, examples=["demo-password-2026"])]


class ApiKeyCreationWithPasswordController(Controller):
    path = "/users/me/api-keys"
    tags = ["API keys"]
    guards = [signed_in]

    @post(raises=[TooManyApiKeys, WrongPassword, TooManyAttempts, PasswordsBusy, DirectoryUnavailable])
    async def create_api_key(
        self,
        data: ApiKeyCreateRequestWithPassword,
        actor: Actor,
        api_keys: ApiKeyService,
        reauthentication: Reauthentication,
    ) -> Response[ApiKeyWithSecret]:
        """Create an API key.

        Requires the current password. The key is returned only in this response. Send it like an access token. It acts
        as you, within its scopes and the rights that you have at the time of the request.
        """
        await reauthentication.check(actor, data.current_password)
        key = await api_keys.create(actor, data)
        return created(key, key.id)
