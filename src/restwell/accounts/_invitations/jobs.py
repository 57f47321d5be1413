from uuid import UUID

from restwell.accounts._invitations.mail import InvitationMail
from restwell.jobs import JobContext, mail_job


@mail_job
async def send_invitation(context: JobContext, invitation_id: UUID) -> None:
    await context.get(InvitationMail).send(invitation_id, str(context.job_id))
