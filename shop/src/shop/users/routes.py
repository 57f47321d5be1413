from uuid import UUID

from restwell.auth import Actor, CommonPassword, PasswordsBusy
from restwell.pages import Page, PageFilter
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Response,
    created,
    delete,
    get,
    paged,
    patch,
    post,
    requires_role,
    signed_in,
)
from shop.login_throttle.service import TooManyAttempts
from shop.rate_limits import REGISTRATION
from shop.users.reauthentication import WrongPassword
from shop.users.schemas import AccountUpdateRequest, PasswordChangeRequest, RegistrationRequest, User, UserUpdateRequest
from shop.users.service import EmailTaken, OwnAccount, UserService


class UserController(Controller):
    path = "/users"
    tags = ["Users"]
    users: UserService

    @post(rate_limit=REGISTRATION, errors=[EmailTaken, CommonPassword, PasswordsBusy])
    async def register_user(self, data: JSONBody[RegistrationRequest]) -> Response[User]:
        """Create an account.

        The email address must not belong to an existing account. To sign in, call `POST /v1/sessions`.
        """
        return created(await self.users.register(data), "/v1/users/me")

    @get("/me", guards=[signed_in])
    async def get_own_account(self, actor: Inject[Actor]) -> User:
        """Retrieve your account."""
        return await self.users.get_user(actor.id)

    @patch("/me", guards=[signed_in])
    async def update_own_account(self, data: JSONBody[AccountUpdateRequest], actor: Inject[Actor]) -> User:
        """Update your account.

        Applies a JSON Merge Patch (RFC 7396).
        """
        return await self.users.update_own(actor, data)

    @post(
        "/me/password",
        status_code=204,
        guards=[signed_in],
        errors=[WrongPassword, TooManyAttempts, CommonPassword, PasswordsBusy],
    )
    async def change_own_password(self, data: JSONBody[PasswordChangeRequest], actor: Inject[Actor]) -> None:
        """Change your password.

        Revokes all other sessions and sends a notification email.
        """
        await self.users.change_password(actor, data)

    @delete("/me", guards=[signed_in])
    async def delete_own_account(self, actor: Inject[Actor]) -> None:
        """Delete your account.

        Revokes all sessions and anonymises the account. Orders are retained. This cannot be undone.
        """
        await self.users.delete_own(actor)

    @get(guards=[requires_role("admin")])
    async def list_users(self, request: ApiRequest, filters: Inject[PageFilter]) -> Response[Page[User]]:
        """List accounts, oldest first."""
        return paged(request, await self.users.list_users(filters))

    @get("/{user_id:uuid}", guards=[requires_role("admin")])
    async def get_user(self, user_id: FromPath[UUID]) -> User:
        """Retrieve an account."""
        return await self.users.get_user(user_id)

    @patch("/{user_id:uuid}", guards=[requires_role("admin")], errors=[OwnAccount])
    async def update_user(
        self, user_id: FromPath[UUID], data: JSONBody[UserUpdateRequest], actor: Inject[Actor]
    ) -> User:
        """Update the role or status of an account.

        Applies a JSON Merge Patch (RFC 7396). Deactivating an account revokes its sessions immediately.
        """
        return await self.users.update_user(actor, user_id, data)
