from uuid import UUID

from restwell.accounts._users.schemas import AccountUpdateRequest, User, UserUpdateRequest
from restwell.accounts._users.service import OwnAccount, UserService
from restwell.auth import Actor
from restwell.pages import Page, PageFilter
from restwell.web import Controller, delete, get, patch, signed_in


class OwnAccountController(Controller):
    path = "/users/me"
    tags = ["Users"]
    guards = [signed_in]

    @get()
    async def get_own_account(self, actor: Actor, users: UserService) -> User:
        """Retrieve your account.

        The account of the access token, with its role.
        """
        return await users.get_user(actor.id)


class OwnAccountChangeController(Controller):
    path = "/users/me"
    tags = ["Users"]
    guards = [signed_in]

    @patch()
    async def update_own_account(self, data: AccountUpdateRequest, actor: Actor, users: UserService) -> User:
        """Update your account.

        Applies a JSON Merge Patch (RFC 7396).
        """
        return await users.update_own(actor, data)


class OwnAccountDeletionController(Controller):
    path = "/users/me"
    tags = ["Users"]
    guards = [signed_in]

    @delete()
    async def delete_own_account(self, actor: Actor, users: UserService) -> None:
        """Delete your account.

        Revokes all sessions and anonymises the account. This cannot be undone.
        """
        await users.delete_own(actor)


class UserListController(Controller):
    """Its guard requires the admin role of the application."""

    path = "/users"
    tags = ["Users"]

    @get()
    async def list_users(self, filters: PageFilter, users: UserService) -> Page[User]:
        """List accounts, oldest first."""
        return await users.list_users(filters)

    @get("/{user_id}")
    async def get_user(self, user_id: UUID, users: UserService) -> User:
        """Retrieve an account."""
        return await users.get_user(user_id)


class UserAdministrationController(Controller):
    """Its guard requires the admin role of the application."""

    path = "/users"
    tags = ["Users"]

    @patch("/{user_id}", raises=[OwnAccount])
    async def update_user(self, user_id: UUID, data: UserUpdateRequest, actor: Actor, users: UserService) -> User:
        """Update the role or status of an account.

        Applies a JSON Merge Patch (RFC 7396). Deactivating an account revokes its sessions immediately.
        """
        return await users.update_user(actor, user_id, data)
