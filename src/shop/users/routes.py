"""HTTP of users."""

from uuid import UUID

from restwell.auth import Actor
from restwell.auth.passwords import CommonPassword, PasswordsBusy
from restwell.web import (
    ApiRequest,
    Controller,
    FromPath,
    Inject,
    JSONBody,
    Page,
    PageFilter,
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
from shop.email_verifications.service import EmailTaken
from shop.rate_limits import REGISTRATION
from shop.sessions.login_throttle import TooManyAttempts
from shop.sessions.reauthentication import WrongPassword
from shop.users.schemas import AccountUpdateRequest, PasswordChangeRequest, RegistrationRequest, User, UserUpdateRequest
from shop.users.service import OwnAccount, UserService


class UserController(Controller):
    path = "/users"
    tags = ["Users"]
    users: UserService

    @post(rate_limit=REGISTRATION, errors=[EmailTaken, CommonPassword, PasswordsBusy])
    async def register(self, data: JSONBody[RegistrationRequest]) -> Response[User]:
        """Register an account.

        The address may not have an account yet. Sign in next, with `POST /v1/sessions`.
        """
        return created(await self.users.register(data), "/v1/users/me")

    @get("/me", guards=[signed_in])
    async def get_own_account(self, actor: Inject[Actor]) -> User:
        """Read your own account."""
        return await self.users.get_user(actor.id)

    @patch("/me", guards=[signed_in])
    async def update_own_account(self, data: JSONBody[AccountUpdateRequest], actor: Inject[Actor]) -> User:
        """Change your own account.

        A JSON Merge Patch: fields left out stay as they are.
        """
        return await self.users.change_own(actor, data)

    @post(
        "/me/password",
        status_code=204,
        guards=[signed_in],
        errors=[WrongPassword, TooManyAttempts, CommonPassword, PasswordsBusy],
    )
    async def change_own_password(self, data: JSONBody[PasswordChangeRequest], actor: Inject[Actor]) -> None:
        """Change your own password.

        Every other device is signed out, and a mail tells you of it.
        """
        await self.users.change_password(actor, data)

    @delete("/me", guards=[signed_in])
    async def delete_own_account(self, actor: Inject[Actor]) -> None:
        """Delete your own account.

        Every session ends, and the account can never be signed in to again. Orders stay, without your name.
        """
        await self.users.delete_own(actor)

    @get(guards=[requires_role("admin")])
    async def list_users(self, request: ApiRequest, filters: Inject[PageFilter]) -> Response[Page[User]]:
        """List accounts, oldest first."""
        return paged(request, await self.users.list_users(filters))

    @get("/{user_id:uuid}", guards=[requires_role("admin")])
    async def get_user(self, user_id: FromPath[UUID]) -> User:
        """Read an account."""
        return await self.users.get_user(user_id)

    @patch("/{user_id:uuid}", guards=[requires_role("admin")], errors=[OwnAccount])
    async def update_user(
        self, user_id: FromPath[UUID], data: JSONBody[UserUpdateRequest], actor: Inject[Actor]
    ) -> User:
        """Change an account's role or activity.

        A JSON Merge Patch. Deactivating an account ends its sessions at once.
        """
        return await self.users.update_user(actor, user_id, data)
