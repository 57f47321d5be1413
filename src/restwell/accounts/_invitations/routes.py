from uuid import UUID

from restwell.accounts._invitations.acceptance import InvitationAcceptance
from restwell.accounts._invitations.schemas import Invitation, InvitationAcceptanceRequest, InvitationRequest
from restwell.accounts._invitations.service import InvalidInvitationCode, InvitationService
from restwell.accounts._rates import EMAIL_CODES, INVITATIONS
from restwell.accounts._users.schemas import User
from restwell.accounts._users.service import EmailTaken
from restwell.auth import Actor, PasswordRejected, PasswordsBusy
from restwell.pages import Page, PageFilter
from restwell.web import Controller, Request, Response, client_info, created, delete, get, post


class InvitationController(Controller):
    """Its guard requires the admin role of the application."""

    path = "/invitations"
    tags = ["Users"]

    @post(rate_limit=INVITATIONS, raises=[EmailTaken])
    async def create_invitation(
        self, data: InvitationRequest, actor: Actor, invitations: InvitationService
    ) -> Response[Invitation]:
        """Invite a person.

        The code is sent by email, and is valid for 7 days. A new invitation of the same address replaces the previous
        one.
        """
        invitation = await invitations.invite(actor, data)
        return created(invitation, invitation.id)

    @get()
    async def list_invitations(self, filters: PageFilter, invitations: InvitationService) -> Page[Invitation]:
        """List invitations that are not accepted, oldest first."""
        return await invitations.list_invitations(filters)

    @delete("/{invitation_id}")
    async def revoke_invitation(self, invitation_id: UUID, actor: Actor, invitations: InvitationService) -> None:
        """Revoke an invitation.

        Its code is invalid immediately.
        """
        await invitations.revoke(actor, invitation_id)


class InvitationAcceptanceController(Controller):
    path = "/invitations/acceptance"
    tags = ["Users"]

    @post(
        rate_limit=EMAIL_CODES,
        query_budget={"security_events.insert": 2},
        raises=[InvalidInvitationCode, EmailTaken, PasswordRejected, PasswordsBusy],
    )
    async def accept_invitation(
        self, request: Request, data: InvitationAcceptanceRequest, invitations: InvitationAcceptance
    ) -> Response[User]:
        """Create an account with an invitation.

        The account has the invited email address, which is verified, and the role of the invitation. Then sign in: this
        creates no session.
        """
        prefix = request.path.removesuffix("/invitations/acceptance")
        return created(await invitations.accept(data, client_info(request).accept_language), f"{prefix}/users/me")
