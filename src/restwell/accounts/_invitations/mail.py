"""The email with the code of an invitation."""

import hmac
from typing import Final
from uuid import UUID

from restwell import _base64url as base64url
from restwell.accounts._codes import hash_token
from restwell.accounts._invitations import queries
from restwell.accounts._mail import AccountMail
from restwell.accounts._options import AccountOptions
from restwell.auth._key_derivation import KeyDeriver
from restwell.database import Database

_CODE_BYTES: Final = 24


class InvitationMail:
    def __init__(self, database: Database, mail: AccountMail, keys: KeyDeriver, options: AccountOptions) -> None:
        self._database = database
        self._mail = mail
        self._key = keys.derive("invitation")
        self._by_password = options.by_password

    async def send(self, invitation_id: UUID, key: str) -> None:
        """Send the invitation. Does nothing if it is replaced, revoked or accepted. Raises MailRefused, MailFailed."""
        code = self._code_of(invitation_id)
        invitation = await self._database.find(
            queries.set_code, invitation_id=invitation_id, code_hash=hash_token(code)
        )
        if invitation is not None:
            shown = code if self._by_password else None
            await self._mail.send(invitation.email, lambda emails: emails.invitation(shown, invitation.expires_at), key)

    def _code_of(self, invitation_id: UUID) -> str:
        """A repeated email has the same code, which is not stored: an HMAC of the id, with 192 bits."""
        return base64url.encode(hmac.digest(self._key, invitation_id.bytes, "sha256")[:_CODE_BYTES])
