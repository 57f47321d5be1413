from uuid import UUID

from restwell.auth import Actor, CommonPassword, PasswordsBusy
from restwell.pages import Page, PageFilter
from restwell.web import (
    Controller,
    Response,
    created,
    delete,
    get,
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

    @post(rate_limit=REGISTRATION, raises=[EmailTaken, CommonPassword, PasswordsBusy])
    async def register_user(self, data: RegistrationRequest, users: UserService) -> Response[User]:
        """Create an account.

        The email address must not belong to an existing account. To sign in, call `POST /v1/sessions`.
        """
        return created(await users.register(data), "me")

    @get("/me", guards=[signed_in])
    async def get_own_account(self, actor: Actor, users: UserService) -> User:
        """Retrieve your account."""
        return await users.get_user(actor.id)

    @patch("/me", guards=[signed_in])
    async def update_own_account(self, data: AccountUpdateRequest, actor: Actor, users: UserService) -> User:
        """Update your account.

        Applies a JSON Merge Patch (RFC 7396).
        """
        return await users.update_own(actor, data)

    @post(
        "/me/password",
        status_code=204,
        guards=[signed_in],
        raises=[WrongPassword, TooManyAttempts, CommonPassword, PasswordsBusy],
    )
    async def change_own_password(self, data: PasswordChangeRequest, actor: Actor, users: UserService) -> None:
        """Change your password.

        Revokes all other sessions and sends a notification email.
        """
        await users.change_password(actor, data)

    @delete("/me", guards=[signed_in])
    async def delete_own_account(self, actor: Actor, users: UserService) -> None:
        """Delete your account.

        Revokes all sessions and anonymises the account. Orders are retained. This cannot be undone.
        """
        await users.delete_own(actor)

    @get(guards=[requires_role("admin")])
    async def list_users(self, filters: PageFilter, users: UserService) -> Page[User]:
        """List accounts, oldest first."""
        return await users.list_users(filters)

    @get("/{user_id}", guards=[requires_role("admin")])
    async def get_user(self, user_id: UUID, users: UserService) -> User:
        """Retrieve an account."""
        return await users.get_user(user_id)

    @patch("/{user_id}", guards=[requires_role("admin")], raises=[OwnAccount])
    async def update_user(self, user_id: UUID, data: UserUpdateRequest, actor: Actor, users: UserService) -> User:
        """Update the role or status of an account.

        Applies a JSON Merge Patch (RFC 7396). Deactivating an account revokes its sessions immediately.
        """
        return await users.update_user(actor, user_id, data)
