"""Security events and sessions of the accounts."""

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from restwell.accounts import AuditLog, SessionService, UserService
from restwell.accounts._audit.schemas import SecurityEventFilter
from restwell.auth import Actor
from restwell.errors import NotFound
from restwell.ops._actions import Done, action
from restwell.ops._layout import Layout
from restwell.ops._page import ROOT, OpsPage, page
from restwell.web import Controller, Request, Response

PATH: Final = f"{ROOT}/security"
SHOWN: Final = 50
ALARMING: Final = {"sign_in_failed", "refresh_token_reused"}


class SecurityFilter(Struct, frozen=True):
    """``user``: the id of a user, whose account, sessions and events are shown."""

    user: str = ""
    cursor: Annotated[str, Meta(max_length=2_048)] = ""


class SecurityController(Controller):
    path = PATH

    @page()
    async def security(
        self,
        request: Request,
        filters: SecurityFilter,
        actor: Actor,
        layout: Layout,
        audit: AuditLog,
        users: UserService,
        sessions: SessionService,
    ) -> Response[bytes]:
        user_id, fault = _user_id(filters.user)
        user = None
        if user_id is not None:
            try:
                user = await users.get_user(user_id)
            except NotFound:
                fault = "There is no account with this id. Its events are stored for a year."
        asked = SecurityEventFilter(limit=SHOWN, cursor=filters.cursor or None, user_id=user_id)
        events = await audit.list_events(actor, asked)
        opened = await sessions.list_sessions(Actor(user.id, user.role, actor.session_id)) if user is not None else []
        return layout.page(
            request,
            "security.html",
            filters=filters,
            fault=fault,
            user=user,
            events=events,
            sessions=opened,
            alarming=ALARMING,
        )

    @action("/{user_id}/sign-out", query_budget={"security_events.insert": 2})  # the action, and what it does
    async def sign_out_user(self, user_id: UUID, users: UserService, sessions: SessionService) -> Done:
        user = await users.get_user(user_id)
        await sessions.revoke_all(Actor(user.id, user.role, user.id))
        return Done("The user is signed out on all devices.", f"{PATH}?user={user_id}")


def _user_id(text: str) -> tuple[UUID | None, str]:
    """The id, and what is wrong with the text."""
    if not text.strip():
        return None, ""
    try:
        return UUID(text.strip()), ""
    except ValueError:
        return None, "This is no id of a user, such as 0190c0de-0000-7000-8000-000000000001."


PAGE: Final = OpsPage("Security", SecurityController)
