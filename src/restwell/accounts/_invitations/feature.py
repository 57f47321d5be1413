from restwell.accounts._core import MIGRATIONS, guarded
from restwell.accounts._invitations import queries
from restwell.accounts._invitations.acceptance import InvitationAcceptance
from restwell.accounts._invitations.jobs import send_invitation
from restwell.accounts._invitations.mail import InvitationMail
from restwell.accounts._invitations.routes import InvitationAcceptanceController, InvitationController
from restwell.accounts._invitations.schemas import Invitation, InvitationAcceptanceRequest, InvitationRequest
from restwell.accounts._invitations.service import InvitationService
from restwell.accounts._options import AccountOptions
from restwell.accounts._types import profile_change, with_fields
from restwell.accounts._users.schemas import password_type
from restwell.web import Feature, requires_role


def invitations(options: AccountOptions) -> Feature:
    acceptance = [InvitationAcceptanceController] if options.by_password else []
    role = ("role", options.roles)
    password = ("password", password_type(options.password_policy))
    profile = [profile_change(options.profiles)] if options.profiles is not None else []
    return Feature(
        controllers=[guarded(InvitationController, requires_role(options.admin_role)), *acceptance],
        services=[InvitationService, InvitationMail, *([InvitationAcceptance] if options.by_password else [])],
        jobs=[send_invitation],
        queries=[queries],
        migrations={"accounts_invitations": MIGRATIONS / "accounts_invitations"},
        types={
            InvitationRequest: with_fields(InvitationRequest, role),
            Invitation: with_fields(Invitation, role),
            InvitationAcceptanceRequest: with_fields(InvitationAcceptanceRequest, password, *profile),
        },
    )
